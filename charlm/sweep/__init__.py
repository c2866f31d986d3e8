"""Many runs of ``charlm fit`` whose options a search chooses: ``charlm sweep``."""

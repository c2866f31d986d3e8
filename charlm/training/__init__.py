"""Everything of Lightning's: the module, callbacks, exact resume, the Trainer's command line."""

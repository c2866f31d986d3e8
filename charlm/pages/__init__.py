"""What all pages that charlm writes have in common: colours, helpers in JavaScript, safe JSON."""

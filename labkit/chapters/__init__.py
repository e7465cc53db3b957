"""What a chapter's file is: its cells, its parameters, its two forms, the kernel it runs in."""

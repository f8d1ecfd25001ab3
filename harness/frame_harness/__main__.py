"""`python -m frame_harness`: without it, Python's own status of an error would be 1, which means FAIL."""

# Workers of a campaign import it under another name: they are no command.
if __name__ == "__main__":
    from frame_harness_start import main

    main()

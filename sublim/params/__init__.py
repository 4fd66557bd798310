"""What an experiment is: one module per section of params.yaml. Import the section that you need, so that an edit in one
section changes the identity of no stage that does not read it."""

"""What would hurt in a labelled data set, found before training: `lowcost-ft doctor`."""

"""One file for each kind of data set; each makes one ``Data`` object."""

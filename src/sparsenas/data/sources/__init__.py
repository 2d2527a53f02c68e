"""One file per kind of data set; each makes one ``Data`` object."""

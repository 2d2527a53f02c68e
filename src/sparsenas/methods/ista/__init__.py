"""ISTA-NAS: learns architectures as sparse codes, in two stages or in one."""

"""Edge probing: at which depth of a frozen model does each task of the classical pipeline become solvable?"""

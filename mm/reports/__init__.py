"""Reports to look at: comparisons of methods on one clip, in a video, in slices and on a page."""

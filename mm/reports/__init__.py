"""What a person looks at: comparisons of methods on one clip, in a video, in slices and on a page."""

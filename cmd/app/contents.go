package app

import (
	"strings"

	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/events"
)

// maxContentBytes bounds a content that is compared line by line.
const maxContentBytes = 1 << 20

// ContentChange is a file's text before and after a change, cleaned for a terminal.
type ContentChange struct {
	Path, Before, After string
}

// FileContents returns the text of the changed files as far as it is stored, is text, and
// is not secret. It fails with ErrNotFound or a permission error if the user may not read
// the blob store.
func (s *Service) FileContents(changes []events.FileChange) ([]ContentChange, error) {
	blobs, err := blobstore.OpenExisting(s.Settings.BlobStoreDir())
	if err != nil {
		return nil, err
	}
	var out []ContentChange
	for _, c := range changes {
		before, ok1 := textOf(blobs, c.Before)
		after, ok2 := textOf(blobs, c.After)
		if ok1 && ok2 && before != after {
			out = append(out, ContentChange{Path: c.Path, Before: before, After: after})
		}
	}
	return out, nil
}

// textOf returns a stored content that may be shown. A path without content has the empty
// text.
func textOf(blobs *blobstore.Blobs, f events.FileState) (string, bool) {
	switch {
	case f.Kind != events.FileRegular:
		return "", true
	case f.Secret || f.NotStored || f.Size > maxContentBytes:
		return "", false
	}
	b, err := blobs.Get(f.Digest, false)
	if err != nil || strings.ContainsRune(string(b), 0) {
		return "", false
	}
	return apt.SanitizeOutput(string(b)), true
}

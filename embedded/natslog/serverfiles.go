package natslog

import (
	"errors"
	"fmt"
	"time"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// fileError converts an error of package filestore to a [corruptError] about the file.
func fileError(err error) error {
	var e *filestore.Error
	if errors.As(err, &e) {
		return corruptError(e.Path, e.Err)
	}
	return err
}

// openFiles checks that the format of the server's files is known. With a cluster
// there are none.
func (c *Config) openFiles() (err error) {
	if c.Cluster != nil {
		return nil
	}
	if c.files, err = filestore.Open(c.logDir(), c.serverVersion); err != nil {
		return &events.Error{
			Op: "natslog.openFiles", Kind: events.ErrInternal, Subject: c.logDir(), Err: err,
			Hint: "nothing was changed; install a build of cortex with one of the tested versions",
		}
	}
	return nil
}

// factBlocks returns the blocks of the facts stream, oldest first.
func factBlocks(cfg Config) ([]filestore.Block, error) {
	blocks, err := cfg.files.Stream(FactsStream).Blocks()
	if err != nil {
		return nil, fileError(err)
	}
	return blocks, nil
}

// checkDescription compares a stream's description with the manifest before the
// server reads it. The server ignores a stream whose description it cannot read, and
// then the stream could be created again.
func checkDescription(cfg Config, m manifest, name string) error {
	stream := cfg.files.Stream(name)
	created, err := stream.Created()
	if err != nil {
		return fileError(err)
	}
	if want := m.Streams[name]; !created.Equal(want) {
		return corruptError(stream.DescriptionPath(), fmt.Errorf("the stream was created %s, the manifest names one created %s", created.Format(time.RFC3339Nano), want.Format(time.RFC3339Nano)))
	}
	return nil
}

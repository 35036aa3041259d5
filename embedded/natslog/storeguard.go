package natslog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"cortex/events"
)

// corruptError reports a store that is damaged or was changed by another program.
func corruptError(subject string, err error) error {
	return &events.Error{
		Op: "natslog.Open", Kind: events.ErrCorrupt, Subject: subject, Err: err,
		Hint: "nothing was changed; copy the state directory, then restore it from a backup",
	}
}

// inspectDir returns the manifest of the store in the directory. It returns nil when
// there is no store and one may be created.
func inspectDir(cfg Config) (*manifest, error) {
	m, err := readManifest(cfg.Dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cfg.logDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &events.Error{Op: "natslog.Open", Kind: events.ErrUnavailable, Subject: cfg.logDir(), Err: err}
	}
	present := len(entries) > 0
	switch {
	case m == nil && present:
		return nil, corruptError(manifestPath(cfg.Dir), errors.New("the manifest is missing, but there is a log"))
	case m != nil && m.Cluster != (cfg.Cluster != nil):
		return nil, wrongLocationError(cfg, *m)
	case m == nil && !cfg.Create:
		return nil, noStoreError(cfg.Dir)
	case m == nil:
		return nil, nil // no store yet
	case m.Creating && cfg.Cluster == nil:
		return nil, clearUnfinishedStore(cfg)
	case !present && cfg.Cluster == nil:
		return nil, corruptError(cfg.logDir(), errors.New("the log is missing"))
	}
	if cfg.Host != "" && cfg.Host != m.Host {
		return nil, corruptError(manifestPath(cfg.Dir), fmt.Errorf("the store belongs to host %s, not to %s", m.Host, cfg.Host))
	}
	return m, nil
}

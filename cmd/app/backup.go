package app

import (
	"context"
	"cortex/consumers/treehead"
	"cortex/embedded/backup"
	"cortex/events"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RequireStateOwner says who may when somebody may not.
func (s *Service) RequireStateOwner(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &events.Error{Op: "cli.backup", Kind: events.ErrConfirmation, Subject: path, Err: fs.ErrPermission, Hint: "run: sudo cortex " + strings.Join(s.Args, " ")}
	}
	return err
}

// LockStateWhenIdle stops the daemon once nothing runs and keeps every other away.
func (s *Service) LockStateWhenIdle(ctx context.Context) (release func(), err error) {
	for deadline := time.Now().Add(AnswerTimeout); ; {
		if err := s.Dial().Stop(ctx); err != nil && !errors.Is(err, events.ErrUnavailable) {
			return func() {}, err
		}
		release, err = s.Engine.LockState(s.Settings.StateDir)
		if err == nil {
			return release, nil
		}
		if !errors.Is(err, events.ErrConflict) || time.Now().After(deadline) {
			return func() {}, err
		}
		select { // somebody was faster
		case <-ctx.Done():
			return func() {}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ExtractBackup restores into dir, whose log is verified before it gets its name.
func (s *Service) ExtractBackup(ctx context.Context, file, dir string) (backup.Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return backup.Info{}, &events.Error{Op: "cli.backup", Kind: events.ErrNotFound, Subject: file, Err: err, Hint: "'cortex backup list' lists those that there are"}
	}
	defer f.Close()
	return backup.Extract(ctx, f, dir, func(tmp string, i backup.Info) error {
		files, err := s.Engine.OpenLog(s.Settings, tmp)
		if err != nil {
			return err
		}
		if files.Host() != i.Host || files.ManifestPosition() != i.Head {
			return logChangedError(file)
		}
		places := treehead.Dir(filepath.Join(tmp, "audit"))
		if _, err := os.Stat(places.PublicKeyPath()); errors.Is(err, fs.ErrNotExist) { // nothing was signed yet
			for _, err := range files.Records() {
				if err != nil {
					return err
				}
			}
			return nil
		}
		v, err := s.VerifyState(ctx, tmp, places, VerifyOptions{})
		if err == nil && !v.OK() {
			err = logChangedError(file)
		}
		return err
	})
}

func logChangedError(file string) error {
	return &events.Error{Op: "cli.backup", Kind: events.ErrCorrupt, Subject: file, Err: errors.New("the log in it is not as it was written"), Hint: "use another one"}
}

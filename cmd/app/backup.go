package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cortex/consumers/treehead"
	"cortex/embedded/backup"
	"cortex/events"
)

// backupSuffix ends the file names of backups.
const backupSuffix = ".cortex-backup.tar"

// Backup describes a backup file. Its JSON form is the output of 'cortex backup create
// --json'.
type Backup struct {
	Version int             `json:"version"`
	File    string          `json:"file"`
	Bytes   int64           `json:"size_b"`
	Host    events.HostID   `json:"host"`
	Machine string          `json:"machine,omitempty"`
	Created time.Time       `json:"created"`
	Head    events.Position `json:"head"`
	Files   int             `json:"files"`
	Problem string          `json:"problem,omitempty"`
}

func describeBackup(file string, i backup.Info) Backup {
	b := Backup{Version: 1, File: file, Host: i.Host, Machine: i.Machine, Created: i.Created, Head: i.Head, Files: len(i.Files)}
	if info, err := os.Stat(file); err == nil {
		b.Bytes = info.Size()
	}
	return b
}

// CreateBackup writes a backup into a directory or a new file; with "" into the state
// directory's own backups. It waits until no transaction runs. It needs the engine.
func (s *Service) CreateBackup(ctx context.Context, to string) (Backup, error) {
	if s.Engine.LockState == nil {
		return Backup{}, s.BecomeEngine()
	}
	if !s.HasLog() {
		return Backup{}, s.NoHistory()
	}
	now := time.Now().UTC()
	machine, _ := os.Hostname() // "" where it is unknown
	if to == "" {
		to = s.Settings.BackupsDir()
		if err := os.MkdirAll(to, 0o700); err != nil {
			return Backup{}, s.explainPermission(to, err)
		}
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		to = filepath.Join(to, fmt.Sprintf("%s-%s%s", machine, now.Format("20060102T150405.000Z"), backupSuffix))
	}
	release := func() {}
	freeze := func(i *backup.Info) (err error) {
		if release, err = s.lockStateWhenIdle(ctx); err != nil {
			return err
		}
		files, err := s.Engine.OpenLog(s.Settings, s.Settings.StateDir)
		if err != nil {
			return err
		}
		i.Host, i.Head, i.Machine, i.Build, i.Created = files.Host(), files.ManifestPosition(), machine, s.Build, now
		return nil
	}
	var info backup.Info
	err := WriteNewFile(to, func(w io.Writer) (err error) {
		info, err = backup.Write(ctx, w, s.Settings.StateDir, freeze)
		return err
	})
	release()
	if err != nil {
		return Backup{}, s.explainPermission(to, err)
	}
	return describeBackup(to, info), nil
}

// Backups lists the backups in a directory, oldest first; with "" those in the state
// directory. A damaged backup has a Problem.
func (s *Service) Backups(ctx context.Context, dir string) (list []Backup, in string, err error) {
	if dir == "" {
		dir = s.Settings.BackupsDir()
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+backupSuffix))
	if err != nil {
		return nil, dir, err
	}
	list = []Backup{}
	for _, file := range files {
		info, err := readBackup(ctx, file)
		b := describeBackup(file, info)
		if err != nil {
			b.Problem = err.Error()
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(x, y Backup) int { return x.Created.Compare(y.Created) })
	return list, dir, nil
}

func readBackup(ctx context.Context, file string) (backup.Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return backup.Info{}, err
	}
	defer f.Close()
	return backup.Read(ctx, f)
}

// VerifyBackup restores a backup into a temporary directory beside it, verifies its log and
// removes the directory. It needs the engine.
func (s *Service) VerifyBackup(ctx context.Context, file string) (Backup, error) {
	if s.Engine.OpenLog == nil {
		return Backup{}, s.BecomeEngine()
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".cortex-verify-")
	if err != nil {
		return Backup{}, s.explainPermission(file, err)
	}
	info, err := s.extractBackup(ctx, file, filepath.Join(dir, "state"))
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return Backup{}, s.explainPermission(file, err)
	}
	return describeBackup(file, info), nil
}

// RestoreBackup restores a backup into a directory that is empty or absent; with "" into
// the state directory. It returns the directory. It needs the engine.
func (s *Service) RestoreBackup(ctx context.Context, file, into string) (Backup, string, error) {
	if s.Engine.OpenLog == nil {
		return Backup{}, into, s.BecomeEngine()
	}
	if into == "" {
		into = s.Settings.StateDir
	}
	if list, err := os.ReadDir(into); err == nil && len(list) == 0 {
		if err := os.Remove(into); err != nil {
			return Backup{}, into, s.explainPermission(into, err)
		}
	}
	info, err := s.extractBackup(ctx, file, into)
	if err != nil {
		return Backup{}, into, s.explainPermission(file, err)
	}
	return describeBackup(file, info), into, nil
}

// explainPermission turns a permission error into one that names the command to run.
func (s *Service) explainPermission(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &events.Error{Op: "app.Backup", Kind: events.ErrConfirmation, Subject: path, Err: fs.ErrPermission, Hint: s.sudoHint()}
	}
	return err
}

// lockStateWhenIdle stops the daemon once no transaction runs and prevents any daemon from
// starting until release is called.
func (s *Service) lockStateWhenIdle(ctx context.Context) (release func(), err error) {
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
		select { // another process started a daemon meanwhile
		case <-ctx.Done():
			return func() {}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// extractBackup restores into dir and verifies the log before the directory gets its name.
func (s *Service) extractBackup(ctx context.Context, file, dir string) (backup.Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return backup.Info{}, &events.Error{Op: "app.Backup", Kind: events.ErrNotFound, Subject: file, Err: errors.Unwrap(err), Hint: "'cortex backup list' lists backups"}
	}
	defer f.Close()
	return backup.Extract(ctx, f, dir, func(tmp string, i backup.Info) error { return s.verifyExtracted(ctx, file, tmp, i) })
}

// verifyExtracted verifies the log of a backup that was extracted into tmp.
func (s *Service) verifyExtracted(ctx context.Context, file, tmp string, i backup.Info) error {
	files, err := s.Engine.OpenLog(s.Settings, tmp)
	if err != nil {
		return err
	}
	if files.Host() != i.Host || files.ManifestPosition() != i.Head {
		return logChangedError(file)
	}
	dir := treehead.Dir(filepath.Join(tmp, "audit"))
	if _, err := os.Stat(dir.PublicKeyPath()); errors.Is(err, fs.ErrNotExist) { // no head is signed yet
		for _, err := range files.Records() {
			if err != nil {
				return err
			}
		}
		return nil
	}
	v, err := s.verifyState(ctx, tmp, dir, VerifyOptions{})
	if err == nil && !v.OK() {
		err = logChangedError(file)
	}
	return err
}

func logChangedError(file string) error {
	return &events.Error{
		Op: "app.Backup", Kind: events.ErrCorrupt, Subject: file, Err: errors.New("the log in it was changed or is damaged"),
		Hint: "use another backup: cortex backup list",
	}
}

package blobstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/consumers/machine/blobstore"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) (*blobstore.Blobs, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "vault")
	v, err := blobstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v, dir
}

func TestGetReturnsPutContent(t *testing.T) {
	v, dir := open(t)
	for _, content := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long "), 10_000)} {
		d, err := v.Put(content)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get(d, false); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q, %v", got, err)
		}
		if again, err := v.Put(content); again != d || err != nil {
			t.Errorf("put again: %s, %v", again, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestSecretsAreEncrypted(t *testing.T) {
	v, dir := open(t)
	secret := []byte("password=hunter2")
	d, err := v.PutSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Get(d, true); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("%q, %v", got, err)
	}
	plain, _ := v.Put(secret)
	if plain == d {
		t.Error("the name of a secret is the hash of its content")
	}
	if err := os.Remove(filepath.Join(dir, "contents", string(plain))); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("hunter2")) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := open(t)
	if other.SecretDigest(secret) == d {
		t.Error("another store has the same name for the secret")
	}
}

func TestDamagedContentIsError(t *testing.T) {
	v, dir := open(t)
	plain, err := v.Put([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := v.PutSecret([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(t.TempDir(), "x.deb")
	if err := os.WriteFile(deb, []byte("a package"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := events.PackageKey{Name: "toy", Arch: "amd64"}
	kept, err := v.PutDeb(key, "1:1.0~rc1-2", deb)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"contents/" + string(plain), "secrets/" + string(secret), "contents/" + string(kept.Digest)} {
		path := filepath.Join(dir, p)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-1] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{second(v.Get(plain, false)), second(v.Get(secret, true)), v.CheckDeb(kept.Digest), second(v.PlaceDeb(kept.Digest, t.TempDir()))} {
		if !errors.Is(err, events.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}
	checked, problems, err := v.Verify()
	if checked != 3 || len(problems) != 3 || err != nil {
		t.Errorf("%d checked, %q, %v", checked, problems, err)
	}
	if _, err := v.Get(v.SecretDigest([]byte("never put")), true); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("a missing content: %v", err)
	}
	if _, err := v.Get("../key", false); !errors.Is(err, events.ErrUsage) {
		t.Errorf("a path: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestCollectRemovesOnlyUnneededContents(t *testing.T) {
	v, _ := open(t)
	deb := filepath.Join(t.TempDir(), "x.deb")
	if err := os.WriteFile(deb, []byte("a package"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := events.PackageKey{Name: "toy", Arch: "amd64"}
	kept, err := v.PutDeb(key, "1.0", deb)
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := v.Put([]byte("mine"))
	gone, _ := v.PutSecret([]byte("gone"))
	if dropped, err := v.Collect(func(blobstore.Blob) bool { return false }, time.Now().Add(-time.Hour)); len(dropped) > 0 || err != nil {
		t.Errorf("a new content was removed: %v, %v", dropped, err)
	}
	dropped, err := v.Collect(func(i blobstore.Blob) bool { return i.Digest == mine }, time.Now().Add(time.Hour))
	if len(dropped) != 2 || err != nil || !v.Has(mine, false) || v.Has(gone, true) {
		t.Errorf("%v, %v", dropped, err)
	}
	if _, ok := v.Deb(key, "1.0"); ok {
		t.Errorf("%v is still found", kept)
	}
	if _, problems, err := v.Verify(); len(problems) > 0 || err != nil {
		t.Error(problems, err)
	}
}

func TestConcurrentPuts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			v, err := blobstore.Open(dir) // each its own, as processes have
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 10 {
				content := fmt.Appendf(nil, "content %d", (i+n)%15)
				d, err := v.PutSecret(content)
				if err != nil {
					t.Error(err)
					continue
				}
				if got, err := v.Get(d, true); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

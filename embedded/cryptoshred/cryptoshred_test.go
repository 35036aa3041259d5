package cryptoshred_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"cortex/embedded/cryptoshred"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	one = events.ID("01940000-0000-7000-8000-000000000001")
	two = events.ID("01940000-0000-7000-8000-000000000002")
)

func seal(t *testing.T, k cryptoshred.Keys, id events.ID, text string) events.Sealed {
	t.Helper()
	s, err := k.Seal(os.Geteuid(), id, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnsealFailsAfterDestroy(t *testing.T) {
	me, dir := os.Geteuid(), t.TempDir()
	k := cryptoshred.New(filepath.Join(dir, "keys"))
	a, b := seal(t, k, one, "no mail servers"), seal(t, k, two, "")
	if strings.Contains(string(a.Text), "mail") {
		t.Error("the text is in the clear")
	}
	if text, ok := k.Unseal(me, a); text != "no mail servers" || !ok {
		t.Errorf("%q, %v", text, ok)
	}
	if err := k.Destroy(me, one, one); err != nil {
		t.Fatal(err)
	}
	if text, ok := k.Unseal(me, a); text != "" || ok {
		t.Errorf("after its key was destroyed: %q, %v", text, ok)
	}
	if _, ok := k.Unseal(me, b); !ok {
		t.Error("another key went too")
	}
	if err := errors.Join(k.DestroyAll(me), k.DestroyAll(me)); err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Unseal(me, b); ok {
		t.Error("a key outlived all of them")
	}
}

func TestUnsealRefusesChangedText(t *testing.T) {
	me := os.Geteuid()
	k := cryptoshred.New(t.TempDir())
	s := seal(t, k, one, "no mail servers")
	altered, otherKey, short, path := s, s, s, s
	altered.Text = append([]byte{s.Text[0] ^ 1}, s.Text[1:]...)
	otherKey.Key = two
	short.Nonce = s.Nonce[1:]
	path.Key = "../" + one[3:]
	for name, c := range map[string]events.Sealed{"altered": altered, "under another name": otherKey, "with a short nonce": short, "with a path for a key": path} {
		t.Run(name, func(t *testing.T) {
			if text, ok := k.Unseal(me, c); ok {
				t.Errorf("opened: %q", text)
			}
		})
	}
	t.Run("for another user with a copy of the key", func(t *testing.T) {
		dir := t.TempDir()
		k := cryptoshred.New(dir)
		s := seal(t, k, one, "no mail servers")
		if err := os.Rename(filepath.Join(dir, strconv.Itoa(me)), filepath.Join(dir, strconv.Itoa(me+1))); err != nil {
			t.Fatal(err)
		}
		if _, ok := k.Unseal(me+1, s); ok {
			t.Error("opened")
		}
	})
}

func TestKeyIsReadableByItsUserOnly(t *testing.T) {
	dir := t.TempDir()
	seal(t, cryptoshred.New(dir), one, "x")
	info, err := os.Stat(filepath.Join(dir, strconv.Itoa(os.Geteuid()), string(one)))
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if os.Geteuid() == 0 {
		const other = 65534
		if _, err := cryptoshred.New(dir).Seal(other, two, "x"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, strconv.Itoa(other), string(two)))
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != other || info.Mode().Perm() != 0o400 {
			t.Errorf("another's key is of uid %d, mode %v", owner, info.Mode())
		}
	}
	if _, err := cryptoshred.New(dir).Seal(os.Geteuid(), one, "y"); err == nil {
		t.Error("a key was used twice")
	}
}

func TestSealLimitsTheNumberOfKeys(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, strconv.Itoa(os.Geteuid()))
	if err := os.MkdirAll(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range events.MaxPreferences - 1 {
		if err := os.WriteFile(filepath.Join(mine, strconv.Itoa(i)), nil, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	k := cryptoshred.New(dir)
	seal(t, k, one, "x")
	if _, err := k.Seal(os.Geteuid(), two, "y"); !errors.Is(err, events.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

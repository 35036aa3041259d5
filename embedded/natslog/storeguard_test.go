package natslog_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cortex/embedded/natslog"
	"cortex/embedded/natslog/filestore"
	"cortex/embedded/natslog/filestore/filestoretest"
	"cortex/events"
	"cortex/events/logtest"
)

// damage changes a state directory.
type damage struct {
	do       func(t *testing.T, dir string)
	wantText string // part of the expected error
}

// damages returns all damages that Open must refuse.
func damages() map[string]damage {
	out := blockDamages()
	maps.Copy(out, descriptionDamages())
	maps.Copy(out, swaps())
	return out
}

// blockDamages change the blocks of the facts.
func blockDamages() map[string]damage {
	block := func(do func(t *testing.T, path string)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			do(t, lastBlock(t, dir))
		}
	}
	return map[string]damage{
		"a truncated block": {block(func(t *testing.T, path string) {
			t.Helper()
			check(t, os.Truncate(path, int64(len(read(t, path))-1000)))
		}), "event"},
		"an empty block": {block(func(t *testing.T, path string) {
			t.Helper()
			check(t, os.Truncate(path, 0))
		}), "empty"},
		"a block of zeros": {block(func(t *testing.T, path string) {
			t.Helper()
			write(t, path, make([]byte, len(read(t, path))))
		}), "empty"},
		"a missing block":                      {block(func(t *testing.T, path string) { t.Helper(); check(t, os.Remove(path)) }), "empty"},
		"a flipped bit":                        {block(func(t *testing.T, path string) { t.Helper(); flip(t, path, "") }), "event"},
		"a flipped bit in the last fact":       {block(func(t *testing.T, path string) { t.Helper(); flip(t, path, "the last") }), "event"},
		"a changed fact with a valid checksum": {block(rewrite), "does not match its hash"},
		"a removed fact":                       {block(takeOut), "hole"},
	}
}

func manifestFile(dir string) string { return filepath.Join(dir, "manifest.json") }

// descriptionDamages change the manifest and the descriptions of the streams.
func descriptionDamages() map[string]damage {
	replace := func(path func(dir string) string, old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			b := read(t, path(dir))
			changed := bytes.Replace(b, []byte(old), []byte(new), 1)
			if bytes.Equal(b, changed) {
				t.Fatalf("%q is not in %s", old, path(dir))
			}
			write(t, path(dir), changed)
		}
	}
	stream := func(name string, path func(filestore.Stream) string) func(dir string) string {
		return func(dir string) string { return path(natslog.StreamFiles(dir, name)) }
	}
	description, checksum := stream(natslog.FactsStream, filestore.Stream.DescriptionPath), stream(natslog.FactsStream, filestore.Stream.ChecksumPath)
	remove := func(path func(dir string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			check(t, os.RemoveAll(path(dir)))
		}
	}
	empty := func(path func(dir string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			check(t, os.Truncate(path(dir), 0))
		}
	}
	return map[string]damage{
		"stream description removed":      {remove(description), "meta.inf"},
		"stream description emptied":      {empty(description), "meta.inf"},
		"its checksum removed":            {remove(checksum), "meta.sum"},
		"its checksum emptied":            {empty(checksum), "meta.inf"},
		"stream description changed":      {replace(description, `"deny_delete":true`, `"deny_delete":false`), "checksum"},
		"requests removed":                {remove(stream(natslog.RequestsStream, filestore.Stream.Dir)), "CORTEX_REQ"},
		"facts removed":                   {remove(stream(natslog.FactsStream, filestore.Stream.Dir)), "CORTEX_EVT"},
		"the log removed":                 {remove(func(dir string) string { return filepath.Join(dir, "log") }), "log is missing"},
		"manifest removed":                {remove(manifestFile), "manifest.json"},
		"manifest emptied":                {empty(manifestFile), "manifest.json"},
		"manifest of a later version":     {replace(manifestFile, `"format": 1`, `"format": 2`), "format"},
		"manifest of another event":       {replace(manifestFile, `"id": "0`, `"id": "1`), "not the one"},
		"manifest of a newer log":         {replace(manifestFile, `"position": `, `"position": 9`), "was stored"},
		"manifest of another host":        {replace(manifestFile, `"host": "0`, `"host": "1`), "host"},
		"manifest of an unfinished store": {replace(manifestFile, `"host"`, `"creating": true, "host"`), "there is a log with events"},
	}
}

// swaps replace a part of the store by that of another store.
func swaps() map[string]damage {
	return map[string]damage{
		"manifest of another store": {func(t *testing.T, dir string) {
			t.Helper()
			other := t.TempDir()
			closeBroker(t, open(t, natslog.Config{Dir: other, Create: true}))
			write(t, manifestFile(dir), read(t, manifestFile(other)))
		}, "created"},
		"the log of another store": {func(t *testing.T, dir string) {
			t.Helper()
			other := t.TempDir()
			closeBroker(t, open(t, natslog.Config{Dir: other, Create: true}))
			check(t, os.RemoveAll(filepath.Join(dir, "log")))
			check(t, os.CopyFS(filepath.Join(dir, "log"), os.DirFS(filepath.Join(other, "log"))))
		}, "created"},
	}
}

// rewrite changes a fact and gives it a valid checksum, as an attacker who knows the
// file format would.
func rewrite(t *testing.T, path string) {
	t.Helper()
	rewriteAfter(t, path, `"output":"0`)
}

// rewriteAfter changes the last byte of a marker in the eleventh or a later message.
func rewriteAfter(t *testing.T, path, marker string) {
	t.Helper()
	messages := filestoretest.Read(t, path)
	for _, m := range messages[10:] {
		for _, part := range [][]byte{m.RawHeader, m.Data} {
			if at := bytes.LastIndex(part, []byte(marker)); at >= 0 {
				part[at+len(marker)-1] ^= 1
				filestoretest.Write(t, path, messages)
				return
			}
		}
	}
	t.Fatalf("%q is not in %s", marker, path)
}

// takeOut removes one message.
func takeOut(t *testing.T, path string) {
	t.Helper()
	filestoretest.Write(t, path, slices.Delete(filestoretest.Read(t, path), 10, 11))
}

// used returns two directories of a store with facts and requests: after Close and after a crash.
func used(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	fill(t, b.Log(), 60)
	logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{Reason: "the last"})
	_, err := b.Submit(t.Context(), request(t, b))
	check(t, err)
	awaitManifest(t, dir, 62)
	crashed := image(t, dir)
	closeBroker(t, b)
	return map[string]string{"closed": dir, "crashed": crashed}
}

// awaitManifest waits until the manifest has a position.
func awaitManifest(t *testing.T, dir string, p events.Position) {
	t.Helper()
	eventually(t, func() bool {
		return strings.Contains(string(read(t, filepath.Join(dir, "manifest.json"))), fmt.Sprintf(`"position": %d,`, p))
	})
}

// eventually waits until a condition is true.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("timeout")
		}
	}
}

func TestOpenRefusesDamagedStore(t *testing.T) {
	for state, dir := range used(t) {
		t.Run(state, func(t *testing.T) {
			closeBroker(t, open(t, natslog.Config{Dir: image(t, dir)})) // the store is undamaged
			for name, d := range damages() {
				t.Run(name, func(t *testing.T) {
					dir := image(t, dir)
					d.do(t, dir)
					before := tree(t, dir)
					for _, create := range []bool{false, true} {
						if name == "manifest of an unfinished store" && !create {
							continue
						}
						refused(t, natslog.Config{Dir: dir, Create: create}, d.wantText)
						if after := tree(t, dir); !maps.Equal(before, after) {
							t.Error("the refusal changed the directory")
						}
					}
				})
			}
		})
	}
}

func refused(t *testing.T, cfg natslog.Config, wantText string) {
	t.Helper()
	b, err := natslog.Open(t.Context(), cfg)
	if err == nil {
		closeBroker(t, b)
		t.Fatal("it was opened")
	}
	if events.KindOf(err) != events.ErrCorrupt || events.HintOf(err) == "" {
		t.Errorf("refused with %s %q, hint %q", events.KindOf(err), err, events.HintOf(err))
	}
	if !strings.Contains(err.Error(), wantText) {
		t.Errorf("%q does not contain %q", err, wantText)
	}
}

func TestOpenRefusesStreamsChangedThroughTheServer(t *testing.T) {
	facts := func(t *testing.T, b *natslog.Broker) jetstream.StreamConfig {
		t.Helper()
		s, err := b.JetStream().Stream(t.Context(), natslog.FactsStream)
		check(t, err)
		return s.CachedInfo().Config
	}
	update := func(change func(*jetstream.StreamConfig)) func(*testing.T, *natslog.Broker) {
		return func(t *testing.T, b *natslog.Broker) {
			t.Helper()
			cfg := facts(t, b)
			change(&cfg)
			_, err := b.JetStream().UpdateStream(t.Context(), cfg)
			check(t, err)
		}
	}
	for name, tt := range map[string]struct {
		do       func(t *testing.T, b *natslog.Broker)
		wantText string
	}{
		"facts deleted by a new limit": {update(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 20, jetstream.DiscardOld }), "configuration"},
		"facts deleted by a new limit, and the old limit restored": {func(t *testing.T, b *natslog.Broker) {
			t.Helper()
			update(func(c *jetstream.StreamConfig) { c.MaxMsgs = 20; c.Discard = jetstream.DiscardOld })(t, b)
			update(func(c *jetstream.StreamConfig) { c.MaxMsgs = -1; c.Discard = jetstream.DiscardNew })(t, b)
		}, "begins at event 42"},
		"another limit":       {update(func(c *jetstream.StreamConfig) { c.MaxBytes /= 2 }), "configuration"},
		"deleting by age":     {update(func(c *jetstream.StreamConfig) { c.MaxAge = 48 * time.Hour }), "configuration"},
		"another description": {update(func(c *jetstream.StreamConfig) { c.Description = "mine" }), "configuration"},
		"stream deleted": {func(t *testing.T, b *natslog.Broker) {
			t.Helper()
			check(t, b.JetStream().DeleteStream(t.Context(), natslog.FactsStream))
		}, "CORTEX_EVT"},
		"stream created again": {func(t *testing.T, b *natslog.Broker) {
			t.Helper()
			cfg := facts(t, b)
			check(t, b.JetStream().DeleteStream(t.Context(), natslog.FactsStream))
			_, err := b.JetStream().CreateStream(t.Context(), cfg)
			check(t, err)
		}, "created"},
		"requests deleted": {func(t *testing.T, b *natslog.Broker) {
			t.Helper()
			check(t, b.JetStream().DeleteStream(t.Context(), natslog.RequestsStream))
		}, "CORTEX_REQ"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, natslog.Config{Dir: dir, Create: true})
			fill(t, b.Log(), 60)
			tt.do(t, b)
			closeBroker(t, b)
			refused(t, natslog.Config{Dir: dir, Create: true}, tt.wantText)
		})
	}
}

func TestServerRefusesToDeleteFacts(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	fill(t, b.Log(), 5)
	s, err := b.JetStream().Stream(t.Context(), natslog.FactsStream)
	check(t, err)
	if err := s.DeleteMsg(t.Context(), 3); err == nil {
		t.Error("a fact was deleted")
	}
	if err := s.Purge(t.Context()); err == nil {
		t.Error("facts were purged")
	}
	if cfg := b.ServerConfig(); cfg.MaxStore <= 0 {
		t.Errorf("the server runs with %+v: it has no limit", cfg)
	}
	logtest.VerifyAll(t, b.Log())
}

func TestOpenRefusesOlderCopyOfTheLog(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	fill(t, b.Log(), 10)
	old := image(t, dir)
	fill(t, b.Log(), 10)
	closeBroker(t, b)
	check(t, os.RemoveAll(filepath.Join(dir, "log")))
	check(t, os.CopyFS(filepath.Join(dir, "log"), os.DirFS(filepath.Join(old, "log"))))
	refused(t, natslog.Config{Dir: dir}, "the log ends at event 11, but event 21 was stored")
}

func TestOpenRefusesForkedHistory(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	fill(t, b.Log(), 10)
	awaitManifest(t, dir, 11)
	fork := image(t, dir)
	fill(t, b.Log(), 10)
	closeBroker(t, b)
	other := open(t, natslog.Config{Dir: fork})
	fill(t, other.Log(), 1)
	closeBroker(t, other)
	// The other event 12 is valid and follows event 11. Only event 13 shows that it is not
	// the original one.
	all := filestoretest.Read(t, lastBlock(t, dir))
	all[11] = filestoretest.Read(t, lastBlock(t, fork))[11]
	filestoretest.Write(t, lastBlock(t, dir), all)
	refused(t, natslog.Config{Dir: dir}, "event 13: does not follow event 12 as it is stored")
}

// lose returns a tail, which starts at offset size of the file, with zeros in every sector that
// has a byte from begin to end.
func lose(size int, tail []byte, begin, end int) []byte {
	tail = bytes.Clone(tail)
	for n := begin / 512 * 512; n < (end+511)/512*512; n++ {
		if n >= size && n-size < len(tail) {
			tail[n-size] = 0
		}
	}
	return tail
}

func TestOpenDropsTornTailOnly(t *testing.T) {
	dir := used(t)["crashed"]
	whole := read(t, lastBlock(t, dir))
	all := filestoretest.Read(t, lastBlock(t, dir))
	following := all[len(all)-1]
	following.Seq++
	next := filestoretest.EncodeFor(t, lastBlock(t, dir), following)
	next[len(next)-1] ^= 1
	several := bytes.Repeat(next, 3)
	for name, tail := range map[string][]byte{
		"half a record":                          next[:len(next)/2],
		"the beginning of a head":                next[:5],
		"a record with old bytes":                append(bytes.Clone(next[:len(next)/2]), make([]byte, len(next)-len(next)/2)...),
		"zeros":                                  make([]byte, 4096),
		"a length and then zeros":                append(bytes.Clone(next[:4]), make([]byte, len(next)-4)...),
		"nothing":                                nil,
		"several records, the last sectors lost": lose(len(whole), several, len(whole)+2*len(next), len(whole)+3*len(next)),
		"several records, the first sector lost": lose(len(whole), several, len(whole), len(whole)+1),
		"several records, one sector lost":       lose(len(whole), several, len(whole)+len(next), len(whole)+len(next)+1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := image(t, dir)
			write(t, lastBlock(t, dir), append(bytes.Clone(whole), tail...))
			b := open(t, natslog.Config{Dir: dir})
			if got := len(logtest.VerifyAll(t, b.Log())); got != len(all) {
				t.Errorf("%d events, want %d", got, len(all))
			}
			fill(t, b.Log(), 5)
			closeBroker(t, b)
			logtest.VerifyAll(t, open(t, natslog.Config{Dir: dir}).Log())
		})
	}
	t.Run("damage before a complete record", func(t *testing.T) {
		dir := image(t, dir)
		bad := bytes.Clone(next)
		bad[len(bad)/2] ^= 1
		write(t, lastBlock(t, dir), append(append(bytes.Clone(whole), bad...), next...))
		refused(t, natslog.Config{Dir: dir}, "after event 62")
	})
}

func TestCreateOnlyOnRequest(t *testing.T) {
	for name, dir := range map[string]string{"empty": t.TempDir(), "missing": filepath.Join(t.TempDir(), "a", "b")} {
		t.Run(name, func(t *testing.T) {
			_, err := natslog.Open(t.Context(), natslog.Config{Dir: dir})
			if events.KindOf(err) != events.ErrNotFound || events.HintOf(err) == "" {
				t.Errorf("without Create: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "log")); err == nil {
				t.Error("a log was created")
			}
			host := events.HostID(logtest.NewID())
			b := open(t, natslog.Config{Dir: dir, Create: true, Host: host, Machine: "box", Build: "v1"})
			first := logtest.VerifyAll(t, b.Log())
			if len(first) != 1 || b.Host() != host || first[0].Host != host {
				t.Fatalf("%d facts of host %s", len(first), b.Host())
			}
			f, err := events.Decode(first[0].Event)
			check(t, err)
			if o, ok := f.(*events.LogOpened); !ok || *o != (events.LogOpened{Host: host, Machine: "box", Build: "v1"}) {
				t.Errorf("the first fact is %+v", f)
			}
			closeBroker(t, b)
			refused(t, natslog.Config{Dir: dir, Host: events.HostID(logtest.NewID())}, "host")
		})
	}
}

func TestCreateRestartsAfterInterruption(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	closeBroker(t, b)
	path := filepath.Join(dir, "manifest.json")
	unfinished := bytes.Replace(read(t, path), []byte(`"host"`), []byte(`"creating": true, "host"`), 1)
	for name, prepare := range map[string]func(dir string){
		"complete but for the manifest": func(string) {},
		"without the log":               func(dir string) { check(t, os.RemoveAll(filepath.Join(dir, "log"))) },
		"without any fact":              func(dir string) { check(t, os.Truncate(lastBlock(t, dir), 0)) },
		"with one stream":               func(dir string) { check(t, os.RemoveAll(natslog.StreamFiles(dir, natslog.RequestsStream).Dir())) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := image(t, dir)
			write(t, filepath.Join(dir, "manifest.json"), unfinished)
			prepare(dir)
			if _, err := natslog.Open(t.Context(), natslog.Config{Dir: dir}); events.KindOf(err) != events.ErrNotFound {
				t.Errorf("without Create: %v", err)
			}
			if got := len(logtest.VerifyAll(t, open(t, natslog.Config{Dir: dir, Create: true}).Log())); got != 1 {
				t.Errorf("%d facts", got)
			}
		})
	}
}

func TestOpenRefusesSecondOwner(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	_, err := natslog.Open(context.Background(), natslog.Config{Dir: dir})
	if events.KindOf(err) != events.ErrConflict || !strings.Contains(err.Error(), "another cortex daemon owns it") {
		t.Errorf("in this process: %v", err)
	}
	out := child(t, "open", dir).output(t)
	if !strings.Contains(out, "another cortex daemon owns it") || !strings.Contains(out, fmt.Sprint(os.Getpid())) {
		t.Errorf("in another process: %s", out)
	}
	logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
	closeBroker(t, b)
	logtest.VerifyAll(t, open(t, natslog.Config{Dir: dir}).Log())
}

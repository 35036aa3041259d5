package natslog_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"cortex/embedded/natslog"
	"cortex/embedded/natslog/filestore/filestoretest"
	"cortex/events"
	"cortex/events/logtest"
)

// facts is how many events the log has whose bits are flipped.
const facts = 200

// verdict reads a store as it lies there and compares it, event by event, with
// what was stored: "" when nothing is wrong and all is there.
func verdict(dir string, want []events.Record) string {
	files, err := natslog.OpenReadOnly(dir, nil)
	if err != nil {
		return err.Error()
	}
	n := 0
	for r, err := range files.Records() {
		if err != nil {
			return err.Error()
		}
		if n >= len(want) || r.Hash != want[n].Hash || !bytes.Equal(r.Data, want[n].Data) {
			return fmt.Sprintf("LIE at event %d", n+1)
		}
		n++
	}
	if n != len(want) {
		return fmt.Sprintf("LIE: %d events are taken for all", n)
	}
	return ""
}

// stock is a closed store of 200 events, with what was stored.
func stock(t *testing.T) (string, []events.Record) {
	t.Helper()
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	fill(t, b.Log(), facts-1)
	stored := logtest.VerifyAll(t, b.Log())
	closeBroker(t, b)
	if len(stored) != facts {
		t.Fatalf("%d events", len(stored))
	}
	if v := verdict(dir, stored); v != "" {
		t.Fatalf("the store as it was closed: %s", v)
	}
	return dir, stored
}

// readMessages reports whether every bit and every byte is tried, as by 'make audit-bits',
// and not only some of them.
func all() bool { return os.Getenv("CORTEX_AUDIT_BITS") == "all" }

// Primes, so that every bit of a byte and every part of a record comes up.
func bitStep() int {
	if all() {
		return 1
	}
	return 1009
}

func byteStep() int {
	if all() {
		return 1
	}
	return 41
}

// TestEveryFlippedBitIsFound flips bits of every file from which the facts are
// read: the blocks, the stream's description and its checksum, the manifest. None
// may be accepted; the manifest alone has bits that do not matter, such as white
// space, and then everything must be there.
func TestEveryFlippedBitIsFound(t *testing.T) {
	dir, want := stock(t)
	paths := append(blocks(t, dir), natslog.Files(dir, natslog.FactsStream).DescriptionPath(), natslog.Files(dir, natslog.FactsStream).ChecksumPath(), manifestFile(dir))
	step, found, harmless := bitStep(), atomic.Int64{}, atomic.Int64{}
	var wg sync.WaitGroup
	const workers = 2
	for w := range workers {
		mine := image(t, dir)
		wg.Go(func() {
			for _, path := range paths {
				rel, err := filepath.Rel(dir, path)
				if err != nil {
					t.Error(err)
					return
				}
				flipAll(t, filepath.Join(mine, rel), w*step, workers*step, func(bit int) {
					switch v := verdict(mine, want); {
					case v == "" && path == manifestFile(dir):
						harmless.Add(1)
					case v == "" || v[0] == 'L':
						t.Errorf("%s, bit %d: accepted: %s", rel, bit, v)
					default:
						found.Add(1)
					}
				})
			}
		})
	}
	wg.Wait()
	t.Logf("%d bits flipped: %d found, %d harmless", found.Load()+harmless.Load(), found.Load(), harmless.Load())
	if found.Load() == 0 {
		t.Error("nothing was found: the test looks at the wrong place")
	}
}

// flipAll flips one bit after the other in a file and puts it back.
func flipAll(t *testing.T, path string, from, step int, look func(bit int)) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	for bit := from; bit < 8*len(whole); bit += step {
		at := int64(bit / 8)
		if _, err := f.WriteAt([]byte{whole[at] ^ 1<<(bit%8)}, at); err != nil {
			t.Error(err)
			return
		}
		look(bit)
		if _, err := f.WriteAt(whole[at:at+1], at); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestEveryCutIsFound cuts the last block off at every byte of its last events,
// which were acknowledged. A cut behind the manifest's head, as a crash leaves
// it before anybody was told, is repaired instead.
func TestEveryCutIsFound(t *testing.T) {
	dir, want := stock(t)
	mine := image(t, dir)
	path := lastBlock(t, mine)
	whole := read(t, path)
	tail := 0
	for _, m := range filestoretest.Read(t, path)[facts-8:] {
		tail += len(filestoretest.EncodeFor(t, path, m))
	}
	for n := len(whole) - tail; n < len(whole); n += byteStep() {
		write(t, path, whole[:n])
		if v := verdict(mine, want); v == "" || v[0] == 'L' {
			t.Errorf("cut off at byte %d of %d: accepted: %s", n, len(whole), v)
		}
	}
}

// TestEveryCutBehindTheManifestIsRepaired: what the manifest does not know yet
// may be half written, and then the log ends before it.
func TestEveryCutBehindTheManifestIsRepaired(t *testing.T) {
	dir, want := stock(t)
	mine := image(t, dir)
	early := read(t, manifestFile(mine))
	last, before := want[facts-1], want[facts-2]
	for old, now := range map[string]string{
		string(last.ID): string(before.ID), last.Hash.String(): before.Hash.String(), fmt.Sprintf(`"position": %d`, last.Position): fmt.Sprintf(`"position": %d`, before.Position),
	} {
		if !bytes.Contains(early, []byte(old)) {
			t.Fatalf("%q is not in the manifest", old)
		}
		early = bytes.ReplaceAll(early, []byte(old), []byte(now))
	}
	write(t, manifestFile(mine), early)
	path := lastBlock(t, mine)
	whole := read(t, path)
	messages := filestoretest.Read(t, path)
	for n := len(whole) - len(filestoretest.EncodeFor(t, path, messages[facts-1])); n < len(whole); n += byteStep() {
		write(t, path, whole[:n])
		if v := verdict(mine, want[:facts-1]); v != "" {
			t.Errorf("cut off at byte %d of %d: %s", n, len(whole), v)
		}
	}
}

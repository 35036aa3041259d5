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

// facts is the number of events in the log whose bits are flipped.
const facts = 200

// verdict reads a store and compares every event with the stored ones. It returns "" when the
// store is complete, the error of reading it, or "LIE" when a wrong event was accepted.
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
		return fmt.Sprintf("LIE: reading ends without an error after %d events", n)
	}
	return ""
}

// stock returns a closed store of 200 events, and these events.
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
		t.Fatalf("the undamaged store: %s", v)
	}
	return dir, stored
}

// all reports whether the tests try every bit and every byte ('make audit-bits') instead of a
// sample.
func all() bool { return os.Getenv("CORTEX_AUDIT_BITS") == "all" }

// bitStep and byteStep return primes for a sample, so that it has every bit of a byte and every
// part of a record.
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

// TestEveryFlippedBitIsFound flips bits of every file that the facts depend on: the blocks, the
// stream's description and its checksum, and the manifest. Reading must fail. Only some bits
// of the manifest are harmless, for example in white space; then reading must return
// every event.
func TestEveryFlippedBitIsFound(t *testing.T) {
	dir, want := stock(t)
	paths := append(blocks(t, dir), natslog.StreamFiles(dir, natslog.FactsStream).DescriptionPath(), natslog.StreamFiles(dir, natslog.FactsStream).ChecksumPath(), manifestFile(dir))
	step, found, harmless := bitStep(), atomic.Int64{}, atomic.Int64{}
	var wg sync.WaitGroup
	const workers = 2
	for w := range workers {
		copied := image(t, dir)
		wg.Go(func() {
			for _, path := range paths {
				rel, err := filepath.Rel(dir, path)
				if err != nil {
					t.Error(err)
					return
				}
				flipAll(t, filepath.Join(copied, rel), w*step, workers*step, func(bit int) {
					switch v := verdict(copied, want); {
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
		t.Error("no flipped bit was found: the test looks at the wrong files")
	}
}

// flipAll flips the bits of a file, one at a time, and restores each.
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

// TestEveryCutIsFound truncates the last block at every byte of its last events. These events
// were acknowledged, so reading must fail.
func TestEveryCutIsFound(t *testing.T) {
	dir, want := stock(t)
	copied := image(t, dir)
	path := lastBlock(t, copied)
	whole := read(t, path)
	tail := 0
	for _, m := range filestoretest.Read(t, path)[facts-8:] {
		tail += len(filestoretest.EncodeFor(t, path, m))
	}
	for n := len(whole) - tail; n < len(whole); n += byteStep() {
		write(t, path, whole[:n])
		if v := verdict(copied, want); v == "" || v[0] == 'L' {
			t.Errorf("truncated at byte %d of %d: accepted: %s", n, len(whole), v)
		}
	}
}

// TestEveryCutAfterTheManifestIsRepaired truncates an event after the manifest's head. It was not
// acknowledged, so the log ends before it.
func TestEveryCutAfterTheManifestIsRepaired(t *testing.T) {
	dir, want := stock(t)
	copied := image(t, dir)
	early := read(t, manifestFile(copied))
	last, before := want[facts-1], want[facts-2]
	for old, now := range map[string]string{
		string(last.ID): string(before.ID), last.Hash.String(): before.Hash.String(), fmt.Sprintf(`"position": %d`, last.Position): fmt.Sprintf(`"position": %d`, before.Position),
	} {
		if !bytes.Contains(early, []byte(old)) {
			t.Fatalf("%q is not in the manifest", old)
		}
		early = bytes.ReplaceAll(early, []byte(old), []byte(now))
	}
	write(t, manifestFile(copied), early)
	path := lastBlock(t, copied)
	whole := read(t, path)
	messages := filestoretest.Read(t, path)
	for n := len(whole) - len(filestoretest.EncodeFor(t, path, messages[facts-1])); n < len(whole); n += byteStep() {
		write(t, path, whole[:n])
		if v := verdict(copied, want[:facts-1]); v != "" {
			t.Errorf("truncated at byte %d of %d: %s", n, len(whole), v)
		}
	}
}

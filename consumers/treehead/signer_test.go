package treehead_test

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"cortex/consumers/recorder"
	"cortex/consumers/treehead"
	"cortex/events"
	"cortex/events/logtest"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = events.HostID("01940000-0000-7000-8000-000000000001")

// tree is a read model that is always up to date.
type tree struct {
	log *memlog.Log
	mu  sync.Mutex
	lie bool // about the beginning
}

func (t *tree) WaitFor(context.Context, events.Position) error { return nil }

func (t *tree) Root(ctx context.Context, size events.Position) (events.Hash, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var x events.MerkleTree
	if t.lie {
		x.Append(events.Hash{1})
	}
	for r, err := range t.log.Read(ctx, events.Query{}) {
		if err != nil || x.Size() == size {
			break
		}
		x.Append(r.Hash)
	}
	return x.Root(), nil
}

// bed is a signer over a log in memory.
type bed struct {
	*testing.T
	log    *memlog.Log
	tree   *tree
	places treehead.Dir
	record events.Position
}

func newBed(t *testing.T) *bed {
	log := memlog.New(host)
	return &bed{T: t, log: log, tree: &tree{log: log}, places: treehead.Dir(t.TempDir() + "/audit"), record: 1000}
}

func (b *bed) add(n int) {
	b.Helper()
	for range n {
		logtest.Append(b, b.log, logtest.NewTransaction(), &events.DeadLetterRetried{DeadLetter: logtest.NewID()})
	}
}

// run runs a signer until it has signed the whole log, and returns the errors that it
// reported.
func (b *bed) run(during func()) (told error) {
	b.Helper()
	a := treehead.New(&recorder.Recorder{Log: b.log, Now: time.Now, NewID: logtest.NewID, Actor: events.Actor{Program: "cortexd"}}, b.tree,
		treehead.Config{Dir: b.places, RecordEvery: b.record, Report: func(err error) { told = err }})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	during()
	cancel()
	<-done
	return told
}

func (b *bed) verifier() note.Verifier {
	b.Helper()
	v, err := treehead.ReadVerifier(b.places.PublicKeyPath())
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func (b *bed) heads() []treehead.Head {
	b.Helper()
	h, err := treehead.ReadHeads(b.places.HeadsPath(), b.verifier())
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// await polls until the newest head covers that many events.
func (b *bed) await(size events.Position) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if v, err := treehead.ReadVerifier(b.places.PublicKeyPath()); err == nil {
			if h, _ := treehead.ReadHeads(b.places.HeadsPath(), v); len(h) > 0 && h[len(h)-1].Size >= size {
				return
			}
		}
		<-tick.C
	}
	b.Fatalf("no head of %d events", size)
}

func (b *bed) verify(change func(*treehead.VerifyInput)) treehead.VerifyResult {
	b.Helper()
	e := treehead.VerifyInput{Log: b.log.Read(b.Context(), events.Query{}), Verifier: b.verifier(), Heads: b.heads()}
	if change != nil {
		change(&e)
	}
	return treehead.Verify(e)
}

func TestTransactionEndIsSigned(t *testing.T) {
	b := newBed(t)
	b.add(3)
	err := b.run(func() {
		b.await(3)
		b.add(2)
		logtest.Append(t, b.log, logtest.NewTransaction(), &events.Cancelled{})
		b.await(6)
		b.add(treehead.MaxUnsignedFacts)
		b.await(6 + treehead.MaxUnsignedFacts)
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := b.verify(nil); !v.OK() || v.SignedUpTo != 6+treehead.MaxUnsignedFacts || v.Heads != len(b.heads()) || v.Events != v.SignedUpTo {
		t.Errorf("%+v", v)
	}
	info, err := os.Stat(b.places.KeyPath())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(b.places.KeyPath())
	if err != nil {
		t.Fatal(err)
	}
	b.add(1)
	if err := b.run(func() { b.await(7 + treehead.MaxUnsignedFacts) }); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(b.places.KeyPath()); err != nil || string(after) != string(before) {
		t.Error("a second start made another key")
	}
}

func TestHeadIsSignedAtShutdown(t *testing.T) {
	b := newBed(t)
	b.add(1)
	if err := b.run(func() {
		b.await(1)
		b.add(2) // which end nothing
	}); err != nil {
		t.Fatal(err)
	}
	if h := b.heads(); len(h) != 2 || h[1].Size != 3 {
		t.Errorf("%+v", h)
	}
}

func TestHeadIsRecordedAtIntervals(t *testing.T) {
	b := newBed(t)
	b.record = 4
	b.add(5)
	if err := b.run(func() {
		b.await(5)
		b.add(3)
		logtest.Append(t, b.log, logtest.NewTransaction(), &events.Cancelled{})
		b.await(9)
	}); err != nil {
		t.Fatal(err)
	}
	if v := b.verify(nil); !v.OK() || v.RecordedHeads == 0 {
		t.Errorf("%+v", v)
	}
	v := b.verify(func(e *treehead.VerifyInput) { e.Heads = nil })
	if v.OK() || !strings.Contains(v.Faults[0].String(), "the file of heads lacks the head of 5 events") {
		t.Errorf("the file of heads was emptied: %+v", v)
	}
}

func TestHeadMustContinueLastHead(t *testing.T) {
	b := newBed(t)
	b.add(3)
	if err := b.run(func() { b.await(3) }); err != nil {
		t.Fatal(err)
	}
	b.add(1)
	b.tree.lie = true
	var told error
	done := make(chan struct{})
	a := treehead.New(&recorder.Recorder{Log: b.log, Now: time.Now, NewID: logtest.NewID}, b.tree, treehead.Config{Dir: b.places, Report: func(err error) {
		told = err
		close(done)
	}})
	a.Run(t.Context())
	<-done
	if !errors.Is(told, events.ErrCorrupt) || len(b.heads()) != 1 {
		t.Errorf("%v, %d heads", told, len(b.heads()))
	}
	if err := os.Remove(b.places.KeyPath()); err != nil {
		t.Fatal(err)
	}
	if _, err := treehead.LoadOrCreateKey(b.places, host); !errors.Is(err, events.ErrCorrupt) {
		t.Errorf("a lost key was created again: %v", err)
	}
}

// chain returns changed records of a log with their hashes computed again.
func chain(records []events.Record) iter.Seq2[events.Record, error] {
	var prev events.Hash
	for i := range records {
		records[i].Position, records[i].Prev = events.Position(i+1), prev
		records[i].Hash = events.ChainHash(prev, records[i].Position, records[i].Event)
		prev = records[i].Hash
	}
	return func(yield func(events.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// The hash chain of each rewritten log is valid; only the heads differ.
func TestVerifyFindsRewrittenLog(t *testing.T) {
	b := newBed(t)
	for n := range events.Position(4) {
		b.add(2)
		if err := b.run(func() { b.await(2*n + 2) }); err != nil {
			t.Fatal(err)
		}
	}
	all := logtest.ReadAll(t, b.log, events.Query{})
	for name, tt := range map[string]struct {
		change func([]events.Record) []events.Record
		says   string
		known  string // when the leaves are known
	}{
		"changed":    {func(r []events.Record) []events.Record { r[4].Actor.UID = 7; return r }, "events 5 to 6: the log was rewritten", "event 5: the log was rewritten"},
		"deleted":    {func(r []events.Record) []events.Record { return slices.Delete(r, 2, 3) }, "events 3 to 4: the log was rewritten", "event 3: the log was rewritten"},
		"reordered":  {func(r []events.Record) []events.Record { r[6], r[7] = r[7], r[6]; return r }, "events 7 to 8: the log was rewritten", "event 7: the log was rewritten"},
		"cut off":    {func(r []events.Record) []events.Record { return r[:5] }, "events 6 to 8: missing", "events 6 to 8: missing"},
		"cut by one": {func(r []events.Record) []events.Record { return r[:7] }, "event 8: missing", "event 8: missing"},
		"inserted":   {func(r []events.Record) []events.Record { return slices.Insert(r, 1, r[6]) }, "events 1 to 2: the log was rewritten", "event 2: the log was rewritten"},
	} {
		t.Run(name, func(t *testing.T) {
			log := chain(tt.change(slices.Clone(all)))
			v := b.verify(func(e *treehead.VerifyInput) { e.Log = log })
			if v.OK() || !strings.Contains(v.Faults[0].String(), tt.says) {
				t.Errorf("%+v", v)
			}
			v = b.verify(func(e *treehead.VerifyInput) {
				e.Log = log
				e.KnownLeaf = func(p events.Position) (events.Hash, bool) {
					if int(p) > len(all) {
						return events.Hash{}, false
					}
					return events.LeafHash(all[p-1].Hash), true
				}
			})
			if v.OK() || !strings.Contains(v.Faults[0].String(), tt.known) {
				t.Errorf("with leaves: %+v", v)
			}
			carried := b.heads()[3]
			if v := b.verify(func(e *treehead.VerifyInput) { e.Log, e.Heads, e.TrustedHead = log, nil, &carried }); v.OK() {
				t.Error("the trusted head accepts it")
			}
		})
	}
	carried := b.heads()[2]
	if v := b.verify(func(e *treehead.VerifyInput) { e.TrustedHead = &carried }); !v.OK() || v.TrustedSize != 6 {
		t.Errorf("the original log: %+v", v)
	}
}

func TestHeadTamperedIsRejected(t *testing.T) {
	b := newBed(t)
	b.add(2)
	if err := b.run(func() { b.await(2) }); err != nil {
		t.Fatal(err)
	}
	good := b.heads()[0].Note
	for i := range good {
		for bit := range 8 {
			bad := []byte(good)
			bad[i] ^= 1 << bit
			if h, err := treehead.OpenHead(b.verifier(), string(bad)); err == nil {
				t.Errorf("bit %d of byte %d (%q): accepted as %+v", bit, i, good[i], h)
			}
		}
	}
	_, public, err := note.GenerateKey(rand.Reader, treehead.Origin(host))
	if err != nil {
		t.Fatal(err)
	}
	other, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := treehead.OpenHead(other, good); err == nil {
		t.Error("another key accepts it")
	}
}

func TestHeadsFileTruncatedLineIsReplaced(t *testing.T) {
	b := newBed(t)
	b.add(2)
	if err := b.run(func() { b.await(2) }); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(b.places.HeadsPath())
	if err != nil {
		t.Fatal(err)
	}
	b.add(2)
	for n := range len(whole) {
		if err := os.WriteFile(b.places.HeadsPath(), append(slices.Clone(whole), whole[:n]...), 0o644); err != nil {
			t.Fatal(err)
		}
		if h := b.heads(); len(h) != 1 || h[0].Size != 2 {
			t.Fatalf("%d bytes of a line more: %+v", n, h)
		}
	}
	if err := b.run(func() { b.await(4) }); err != nil {
		t.Fatal(err)
	}
	if h := b.heads(); len(h) != 2 || h[1].Size != 4 {
		t.Errorf("%+v", h)
	}
}

func FuzzOpenHead(f *testing.F) {
	private, public, err := note.GenerateKey(rand.Reader, treehead.Origin(host))
	if err != nil {
		f.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		f.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		f.Fatal(err)
	}
	h, err := treehead.SignHead(s, 7, events.Hash{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h.Note)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := treehead.OpenHead(v, text)
		if err == nil && (got.Size != h.Size || got.Root != h.Root) {
			t.Errorf("%q is taken for a head of %d events", text, got.Size)
		}
	})
}

package slotcache_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/embedded/slotcache"
	"cortex/events"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("KVCACHE_TEST_SAVE"); url != "" { // this process is killed during a save
		p, err := slotcache.NewPoolDir(os.Getenv("KVCACHE_TEST_DIR"), time.Now).Open(context.Background(), "p")
		if err == nil {
			_, err = p.Save(context.Background(), slotcache.LlamaServer{URL: url}, slotcache.SaveRequest{})
		}
		fmt.Println("not killed:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

const system = "you are a careful assistant for one debian machine and you never guess"

type bed struct {
	t     *testing.T
	store *slotcache.PoolDir
	spec  slotcache.Spec
	llama *llama
	now   time.Time
}

func setup(t *testing.T, budget int64, policy slotcache.EvictionPolicy) *bed {
	t.Helper()
	b := &bed{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	b.store = slotcache.NewPoolDir(t.TempDir(), func() time.Time { return b.now })
	var err error
	if b.spec, err = b.store.Create(slotcache.Spec{Name: "p", Budget: budget, Policy: policy}); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(model, []byte("weights"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.llama = serve(t, b.spec.Slots, model)
	return b
}

// in calls a function with the open pool.
func (b *bed) in(f func(p *slotcache.Pool) error) error {
	b.t.Helper()
	p, err := b.store.Open(b.t.Context(), "p")
	if err != nil {
		b.t.Fatal(err)
	}
	defer p.Close()
	return f(p)
}

func (b *bed) save(prompt string) slotcache.SaveResult {
	b.t.Helper()
	out, err := b.trySave(prompt)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bed) trySave(prompt string) (out slotcache.SaveResult, err error) {
	b.llama.think("0", prompt)
	err = b.in(func(p *slotcache.Pool) error {
		out, err = p.Save(b.t.Context(), b.llama.client(), slotcache.SaveRequest{})
		return err
	})
	return out, err
}

func (b *bed) restore(r slotcache.RestoreRequest) (out slotcache.RestoreResult, err error) {
	b.t.Helper()
	r.Slot = 1
	err = b.in(func(p *slotcache.Pool) error {
		out, err = p.Restore(b.t.Context(), b.llama.client(), r)
		return err
	})
	return out, err
}

func (b *bed) status() slotcache.PoolStatus {
	b.t.Helper()
	st, err := b.store.Status("p")
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

func (b *bed) files() (out []string) {
	b.t.Helper()
	found, err := os.ReadDir(b.spec.Slots)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range found {
		out = append(out, f.Name())
	}
	return out
}

func TestRestoreAvoidsProcessingAgain(t *testing.T) {
	b := setup(t, 1<<20, slotcache.LRU)
	b.save("something else entirely")
	saved := b.save(system).Entry
	b.llama.slots = map[string][]int32{} // the server was restarted
	out, err := b.restore(slotcache.RestoreRequest{Prompt: system + " install nginx"})
	if err != nil {
		t.Fatal(err)
	}
	if out.Entry == nil || out.Entry.ID != saved.ID || out.Prompt != 16 || out.Restored != 14 || out.Processed != 2 || out.Reused != 14 {
		t.Errorf("got %+v", out)
	}
	if st := b.status().Stats; st != (slotcache.Stats{Saves: 2, Restores: 1, TokensRestored: 14, TokensReused: 14}) {
		t.Errorf("counted %+v", st)
	}
	if out, err := b.restore(slotcache.RestoreRequest{Entry: saved.ID[:6]}); err != nil || out.Restored != 14 || out.Entry.Uses != 2 {
		t.Errorf("by its id: %+v, %v", out, err)
	}
}

func TestRestoreWithoutMatchIsAMiss(t *testing.T) {
	b := setup(t, 1<<20, slotcache.LRU)
	out, err := b.restore(slotcache.RestoreRequest{Prompt: system})
	if err != nil || out.Entry != nil || out.Reused != 0 || b.status().Stats.Misses != 1 || len(b.llama.restored) != 0 {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestRestoreRefusesWrongState(t *testing.T) {
	write := func(path, text string) func(*bed) error {
		return func(b *bed) error {
			return os.WriteFile(strings.ReplaceAll(path, "MODEL", b.llama.model), []byte(text), 0o600)
		}
	}
	for name, c := range map[string]struct {
		change func(*bed) error
		kind   events.ErrorKind
		left   int
	}{
		"another model in the same file": {write("MODEL", "others"), events.ErrNotFound, 0},
		"another model":                  {func(b *bed) error { b.llama.model += "2"; return os.WriteFile(b.llama.model, []byte("x"), 0o600) }, events.ErrConflict, 1},
		"another context":                {func(b *bed) error { b.llama.context = 8192; return nil }, events.ErrConflict, 1},
		"another build":                  {func(b *bed) error { b.llama.build = "b2"; return nil }, events.ErrConflict, 1},
		"a flipped bit": {func(b *bed) error {
			path := filepath.Join(b.spec.Slots, b.files()[0])
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw[len(raw)-1] ^= 1
			return os.WriteFile(path, raw, 0o600)
		}, events.ErrCorrupt, 0},
		"a truncated file": {func(b *bed) error { return os.Truncate(filepath.Join(b.spec.Slots, b.files()[0]), 20) }, events.ErrNotFound, 0},
		"a malformed index": {func(b *bed) error {
			return os.WriteFile(filepath.Join(filepath.Dir(b.spec.Slots), "entries", b.status().Entries[0].ID+".json"), []byte("{"), 0o600)
		}, events.ErrNotFound, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 1<<20, slotcache.LRU)
			id := b.save(system).Entry.ID
			if err := c.change(b); err != nil {
				t.Fatal(err)
			}
			if _, err := b.restore(slotcache.RestoreRequest{Entry: id}); !errors.Is(err, c.kind) {
				t.Errorf("got %v", err)
			}
			if out, err := b.restore(slotcache.RestoreRequest{Prompt: system}); err != nil || out.Entry != nil {
				t.Errorf("for the prompt: %+v, %v", out, err)
			}
			if len(b.llama.restored) != 0 {
				t.Errorf("the server was given %v", b.llama.restored)
			}
			if st := b.status(); len(st.Entries) != c.left {
				t.Errorf("left %+v", st.Entries)
			}
		})
	}
	t.Run("fewer tokens than were saved", func(t *testing.T) {
		b := setup(t, 1<<20, slotcache.LRU)
		b.save(system)
		b.llama.restoreFewer = 1
		if _, err := b.restore(slotcache.RestoreRequest{Entry: "last"}); !errors.Is(err, events.ErrConflict) || len(b.llama.slots["1"]) != 0 {
			t.Errorf("got %v, and the slot has %v", err, b.llama.slots["1"])
		}
	})
}

func TestSaveKilledLosesThisEntryOnly(t *testing.T) {
	b := setup(t, 1<<20, slotcache.LRU)
	kept := b.save("one two three").Entry
	b.llama.think("0", system)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "KVCACHE_TEST_SAVE="+b.llama.URL, "KVCACHE_TEST_DIR="+filepath.Dir(filepath.Dir(b.spec.Slots)))
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	started, gone := make(chan *os.Process, 1), make(chan struct{})
	b.llama.onSave(func() { // the state file exists, the index file does not
		_ = (<-started).Kill()
		<-gone
	})
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	started <- child.Process
	err := child.Wait()
	close(gone)
	if err == nil || out.Len() > 0 {
		t.Fatalf("it was not killed: %s, %v", out.String(), err)
	}
	b.llama.onSave(nil)
	if len(b.files()) != 3 {
		t.Fatalf("no remains of the killed save: %v", b.files())
	}
	if out, err := b.restore(slotcache.RestoreRequest{Prompt: "one two three four"}); err != nil || out.Entry == nil || out.Entry.ID != kept.ID {
		t.Errorf("the entry saved before: %+v, %v", out, err)
	}
	if got := b.files(); len(got) != 2 {
		t.Errorf("not swept: %v", got)
	}
	if st := b.status(); len(st.Entries) != 1 || st.Bytes != kept.Bytes {
		t.Errorf("left %+v", st)
	}
	b.save(system)
}

func TestSaveStaysWithinTheBudget(t *testing.T) {
	b := setup(t, 1000, slotcache.FIFO) // a state has 28 bytes plus 100 for each token
	first := b.save("a b").Entry.ID
	pinned := b.save("c d").Entry.ID
	if err := b.in(func(p *slotcache.Pool) error { _, err := p.Pin(pinned, true); return err }); err != nil {
		t.Fatal(err)
	}
	out := b.save("e f")
	if len(out.Evicted) != 0 {
		t.Errorf("evicted %v while there was room", out.Evicted)
	}
	third := out.Entry.ID
	out = b.save("g h i") // 328 + 328 + 328 + 428 bytes
	if len(out.Evicted) != 2 || out.Evicted[0].ID != first || out.Evicted[1].ID != third {
		t.Errorf("evicted %v", out.Evicted)
	}
	before := b.status()
	if _, err := b.trySave("six words beside the pinned entries"); !errors.Is(err, events.ErrFull) {
		t.Errorf("too long a state: %v", err)
	}
	after := b.status()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("a refused save changed the pool (-before +after)\n%s", diff)
	}
	if after.Bytes > 1000 || len(b.files()) != len(after.Entries)+1 {
		t.Errorf("%d bytes, files %v", after.Bytes, b.files())
	}
	if again := b.save("g h i"); again.Entry.ID != out.Entry.ID || len(b.status().Entries) != len(after.Entries) {
		t.Errorf("saved twice: %+v", b.status().Entries)
	}
	if err := b.in(func(p *slotcache.Pool) error { _, err := p.Shrink(1); return err }); !errors.Is(err, events.ErrFull) {
		t.Errorf("shrinking below the pinned entries: %v", err)
	}
	if err := b.in(func(p *slotcache.Pool) error { _, err := p.Evict(pinned[:4]); return err }); err != nil {
		t.Error(err)
	}
	if err := b.in(func(p *slotcache.Pool) error { _, err := p.Shrink(1); return err }); err != nil || len(b.status().Entries) != 0 {
		t.Errorf("left %v, %v", b.status().Entries, err)
	}
}

func TestPoolKeepsForeignFiles(t *testing.T) {
	b := setup(t, 1<<20, slotcache.LRU)
	other := filepath.Join(b.spec.Slots, "mine.bin")
	if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Create(slotcache.Spec{Name: "q", Budget: 1 << 20, Policy: slotcache.LRU, Slots: b.spec.Slots}); err != nil {
		t.Fatal(err)
	}
	elsewhere := slotcache.NewPoolDir(t.TempDir(), time.Now)
	if _, err := elsewhere.Create(slotcache.Spec{Name: "p", Budget: 1, Policy: slotcache.LRU, Slots: b.spec.Slots}); !errors.Is(err, events.ErrConflict) {
		t.Errorf("two pools of one name in one directory: %v", err)
	}
	b.save(system)
	q, err := b.store.Open(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Destroy(false); err != nil {
		t.Fatal(err)
	}
	_ = q.Close()
	if got := b.files(); len(got) != 3 || !slices.Contains(got, "mine.bin") {
		t.Errorf("left %v", got)
	}
	if out, err := b.restore(slotcache.RestoreRequest{Prompt: system}); err != nil || out.Entry == nil {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestDestroyRefusesPinnedEntries(t *testing.T) {
	b := setup(t, 1<<20, slotcache.LRU)
	b.save(system)
	if err := b.in(func(p *slotcache.Pool) error { _, err := p.Pin("last", true); return err }); err != nil {
		t.Fatal(err)
	}
	if err := b.in(func(p *slotcache.Pool) error { return p.Destroy(false) }); !errors.Is(err, events.ErrDenied) {
		t.Errorf("got %v", err)
	}
	if err := b.in(func(p *slotcache.Pool) error { return p.Destroy(true) }); err != nil {
		t.Error(err)
	}
	if names, err := b.store.Names(); err != nil || len(names) != 0 {
		t.Errorf("left %v, %v", names, err)
	}
}

func TestOpenConcurrentlyWaits(t *testing.T) {
	b := setup(t, 1<<20, slotcache.LRU)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p, err := b.store.Open(t.Context(), "p")
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			b.llama.think("0", fmt.Sprint("prompt ", i))
			if _, err := p.Save(t.Context(), b.llama.client(), slotcache.SaveRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if st := b.status(); len(st.Entries) == 0 || st.Stats.Saves != 8 || st.Stats.Damaged != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestServerErrorsHaveKindAndHint(t *testing.T) {
	b := setup(t, 1<<20, slotcache.LRU)
	b.llama.dir = t.TempDir()
	if _, err := b.trySave(system); !errors.Is(err, events.ErrConflict) || !strings.Contains(events.HintOf(err), b.spec.Slots) {
		t.Errorf("saved elsewhere: %v", err)
	}
	b.llama.dir = b.spec.Slots
	if _, err := b.trySave(""); err != nil {
		t.Errorf("one token: %v", err)
	}
	b.llama.slots = map[string][]int32{}
	if err := b.in(func(p *slotcache.Pool) error {
		_, err := p.Save(t.Context(), b.llama.client(), slotcache.SaveRequest{})
		return err
	}); !errors.Is(err, events.ErrUsage) {
		t.Errorf("an empty slot: %v", err)
	}
	if err := b.in(func(p *slotcache.Pool) error {
		_, err := p.Restore(t.Context(), b.llama.client(), slotcache.RestoreRequest{Slot: 2, Entry: "last"})
		return err
	}); !errors.Is(err, events.ErrUsage) {
		t.Errorf("a slot that there is not: %v", err)
	}
	b.llama.Close()
	if _, err := b.trySave(system); !errors.Is(err, events.ErrUnavailable) {
		t.Errorf("no server: %v", err)
	}
}

// TestPoliciesMatchAModel compares each policy with a simple list in the order of eviction.
func TestPoliciesMatchAModel(t *testing.T) {
	for _, policy := range slotcache.EvictionPolicies {
		t.Run(string(policy), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				const budget = 20
				var entries []slotcache.CacheEntry
				var order []string // of saves and uses, oldest first
				uses := map[string]int64{}
				for turn := int64(1); turn < 40; turn++ {
					id := fmt.Sprint(rapid.IntRange(0, 9).Draw(rt, "id"))
					at := slices.IndexFunc(entries, func(e slotcache.CacheEntry) bool { return e.ID == id })
					switch {
					case at < 0:
						size := rapid.Int64Range(1, 25).Draw(rt, "size")
						want, fits := model(policy, entries, order, uses, size, budget)
						got, ok := slotcache.Victims(entries, policy, size, budget)
						var ids []string
						for _, e := range got {
							ids = append(ids, e.ID)
						}
						if ok != fits || !slices.Equal(ids, want) {
							rt.Fatalf("%v leave (%v), want %v (%v)", ids, ok, want, fits)
						}
						if !ok {
							continue
						}
						entries = slices.DeleteFunc(entries, func(e slotcache.CacheEntry) bool { return slices.Contains(ids, e.ID) })
						order = slices.DeleteFunc(order, func(o string) bool { return slices.Contains(ids, o) })
						entries = append(entries, slotcache.CacheEntry{ID: id, Bytes: size, SavedSeq: turn, UsedSeq: turn})
						order, uses[id] = append(order, id), 0
					case rapid.Bool().Draw(rt, "pin"):
						entries[at].Pinned = !entries[at].Pinned
					default:
						entries[at].Uses++
						entries[at].UsedSeq = turn
						uses[id]++
						if policy != slotcache.FIFO {
							order = append(slices.DeleteFunc(order, func(o string) bool { return o == id }), id)
						}
					}
				}
			})
		})
	}
}

// model returns the entry to evict: the first in order, or the first of the least used.
func model(policy slotcache.EvictionPolicy, entries []slotcache.CacheEntry, order []string, uses map[string]int64, need, budget int64) (leave []string, fits bool) {
	sizes, pinned, total := map[string]int64{}, map[string]bool{}, need
	for _, e := range entries {
		sizes[e.ID], pinned[e.ID] = e.Bytes, e.Pinned
		total += e.Bytes
	}
	for total > budget {
		worst := ""
		for _, id := range order {
			if pinned[id] || slices.Contains(leave, id) {
				continue
			}
			if worst == "" || policy == slotcache.LFU && uses[id] < uses[worst] {
				worst = id
			}
		}
		if worst == "" {
			return nil, false
		}
		leave = append(leave, worst)
		total -= sizes[worst]
	}
	return leave, true
}

package audit_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"cortex/events"
	"cortex/projections/audit"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, audit.Definition())
}

func build(t projectiontest.TB, dir string, records []events.Record) *audit.Reader {
	t.Helper()
	_, db := projectiontest.BuildModel(t, audit.Definition(), dir, records)
	return audit.NewReader(db)
}

func TestRootsAndProofsMatchTheTree(t *testing.T) {
	base, n := t.TempDir(), 0
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		n++
		records := projectiontest.History(rt, rapid.IntRange(1, 80).Draw(rt, "facts"))
		r := build(rt, filepath.Join(base, fmt.Sprint(n)), records)
		var tree events.MerkleTree
		for _, rec := range records {
			tree.Append(rec.Hash)
			root, err := r.Root(ctx, tree.Size())
			if err != nil || root != tree.Root() {
				rt.Fatalf("root of %d: %v, %v; want %v", tree.Size(), root, err, tree.Root())
			}
			if p, err := r.Find(ctx, rec.ID); err != nil || p != rec.Position {
				rt.Fatalf("Find: %d, %v; want %d", p, err, rec.Position)
			}
			if leaf, err := r.Leaf(ctx, rec.Position); err != nil || leaf != events.LeafHash(rec.Hash) {
				rt.Fatalf("leaf %d: %v, %v", rec.Position, leaf, err)
			}
		}
		if size, err := r.Size(ctx); err != nil || size != tree.Size() {
			rt.Fatalf("size %d, %v; want %d", size, err, tree.Size())
		}
		for _, rec := range records {
			path, err := r.Prove(ctx, rec.Position, tree.Size())
			if err != nil {
				rt.Fatal(err)
			}
			var proof tlog.RecordProof
			for _, h := range path {
				proof = append(proof, tlog.Hash(h))
			}
			leaf := tlog.RecordHash(rec.Hash[:])
			if err := tlog.CheckRecord(proof, int64(tree.Size()), tlog.Hash(tree.Root()), int64(rec.Position)-1, leaf); err != nil {
				rt.Fatalf("proof of %d: %v", rec.Position, err)
			}
		}
	})
}

func TestMissingEventIsNotFound(t *testing.T) {
	r := build(t, t.TempDir(), nil)
	ctx := context.Background()
	for name, ask := range map[string]func() error{
		"root":  func() error { _, err := r.Root(ctx, 5); return err },
		"leaf":  func() error { _, err := r.Leaf(ctx, 5); return err },
		"proof": func() error { _, err := r.Prove(ctx, 1, 5); return err },
		"zero":  func() error { _, err := r.Prove(ctx, 0, 5); return err },
		"event": func() error { _, err := r.Find(ctx, "01940000-0000-7000-8000-000000000001"); return err },
	} {
		if err := ask(); !errors.Is(err, events.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package projections_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/projections"
	"cortex/projections/projectiontest"
)

func TestVerification(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		want      []projections.TableDifference
	}{
		"a changed row is missing and extra": {
			`UPDATE seen SET note = 'forged' WHERE position = 5`,
			[]projections.TableDifference{{Table: "seen", Missing: 1, Extra: 1, Examples: []string{"- 5 | <nil>", "+ 5 | forged"}}},
		},
		"an added row is extra": {
			`INSERT INTO seen VALUES (99, 2.5)`,
			[]projections.TableDifference{{Table: "seen", Extra: 1, Examples: []string{"+ 99 | 2.5"}}},
		},
		"the rows of an additional table are extra": {
			`CREATE TABLE more AS SELECT 1 AS one`,
			[]projections.TableDifference{{Table: "more", Extra: 1, Examples: []string{"+ 1"}}},
		},
		"the time stamp of the checkpoint is ignored": {`UPDATE checkpoint SET updated_at = 'x'`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, tally(nil))
			if err := s.Apply(t.Context(), s.records); err != nil {
				t.Fatal(err)
			}
			execOnFile(t, s.Path(), c.statement)
			got, err := s.VerifyAgainst(t.Context(), s.log)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Tables); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			left, err := filepath.Glob(filepath.Join(s.dir, "*verify*"))
			if err != nil || len(left) > 0 {
				t.Errorf("remaining: %v, %v", left, err)
			}
		})
	}
}

func TestCheckVersion(t *testing.T) {
	s := newSetup(t, tally(nil))
	check := func(path string, version int) error {
		db, err := projectiontest.OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		return projections.CheckVersion(t.Context(), db, "tally", version)
	}
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("garbage ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(s.Path(), 1); err != nil {
		t.Errorf("same version: %v", err)
	}
	for name, err := range map[string]error{
		"another version": check(s.Path(), 2),
		"no file":         check(filepath.Join(t.TempDir(), "none.db"), 1),
		"garbage":         check(garbage, 1),
		"no link":         projections.WrapError("tally", fmt.Errorf("open: %w", fs.ErrNotExist)),
	} {
		if !projections.NeedsRebuild(err) || events.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if projections.NeedsRebuild(nil) || projections.NeedsRebuild(context.Canceled) {
		t.Error("an error without damage needs a rebuild")
	}
}

package intent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/producers/intent"
)

func TestEveryInvalidNameIsReported(t *testing.T) {
	_, err := intent.ParsePackages([]string{"cowsay", "-y", "sl", "./evil.deb", "toy-*", "cowsay-"})
	if !errors.Is(err, events.ErrUsage) || events.HintOf(err) == "" {
		t.Fatalf("%v, hint %q", err, events.HintOf(err))
	}
	for _, want := range []string{"-y", "./evil.deb", "toy-*", "cowsay-"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), `"sl"`) {
		t.Errorf("a valid name is reported: %q", err)
	}
}

func TestDuplicatePackagesAreDropped(t *testing.T) {
	got, err := intent.ParsePackages([]string{"g++", "toy:i386=1:2.0~rc1", "g++"})
	want := []events.PackageRef{{Name: "g++"}, {Name: "toy", Arch: "i386", Version: "1:2.0~rc1"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestCommandLinesAreQuotedAndBounded(t *testing.T) {
	if got := intent.CommandLine([]string{"cortex", "install", "a b", "it's", ""}); got != `cortex install 'a b' 'it'\''s' ''` {
		t.Error(got)
	}
	long := intent.CommandLine([]string{strings.Repeat("é", events.MaxTextBytes)})
	if len(long) > events.MaxTextBytes || !utf8.ValidString(long) {
		t.Errorf("%d bytes, valid %v", len(long), utf8.ValidString(long))
	}
}

type recorder struct{ got []events.Event }

func (r *recorder) Submit(_ context.Context, e events.Event) (events.Position, error) {
	r.got = append(r.got, e)
	return events.Position(len(r.got)), nil
}

func TestRequestsHaveTheirTransaction(t *testing.T) {
	var rec recorder
	n := 0
	p := intent.Producer{
		Host: "01940000-0000-7000-8000-000000000001", Submitter: &rec, Now: func() time.Time { return time.Unix(1, 0) },
		NewID: func() events.ID {
			n++
			return events.ID("01940000-0000-7000-8000-00000000000" + string(rune('0'+n)))
		},
	}
	ctx := context.Background()
	txn, err := p.RequestTransaction(ctx, events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "cowsay"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Approve(ctx, txn, "0123456789ab", "prompt"), p.Cancel(ctx, txn, "no"), p.Retry(ctx, rec.got[0].ID)); err != nil {
		t.Fatal(err)
	}
	if string(rec.got[0].ID) != string(txn) {
		t.Errorf("the request %s opens %s", rec.got[0].ID, txn)
	}
	for _, e := range rec.got {
		if _, err := events.DecodeRequest(e); err != nil {
			t.Errorf("%s: %v", e.Kind, err)
		}
	}
	if err := p.Approve(ctx, txn, "not a plan", "x"); !errors.Is(err, events.ErrUsage) || len(rec.got) != 4 {
		t.Errorf("invalid plan id: %v, %d requests", err, len(rec.got))
	}
}

func FuzzPackages(f *testing.F) {
	f.Add("cowsay -y ./x *")
	f.Fuzz(func(t *testing.T, line string) {
		refs, err := intent.ParsePackages(strings.Fields(line))
		if err != nil {
			return
		}
		in := events.Intent{Verb: events.VerbInstall, Packages: refs, CommandLine: intent.CommandLine(strings.Fields(line))}
		if len(refs) > 0 && len(refs) <= events.MaxPackagesPerRequest && in.Validate() != nil {
			t.Fatalf("%q was accepted, but the intent is invalid: %v", line, in.Validate())
		}
	})
}

package router_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"cortex/consumers/llm"
	"cortex/consumers/llm/router"
)

// One failure is enough to open the circuit again after its open time, although it
// takes three to open it at first.
func TestCircuitOpensAgainAfterFailedTrialCall(t *testing.T) {
	for name, first := range map[string]error{
		"after a long Retry-After": &llm.CallError{Class: llm.RateLimited, RetryAfter: 10 * time.Minute, Err: errors.New("slow down")},
		"after a wrong key":        class(llm.Unauthorized),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &scripted{name: "a", script: []error{first, class(llm.Unavailable), class(llm.Unavailable), nil}}
				r := newRouter(router.PricedProvider{Provider: p})
				for calls := 1; calls <= 3; calls++ {
					for range 3 { // the first call fails; the others are not made
						if _, err := ask(r); err == nil {
							t.Fatal("the provider answered")
						}
					}
					if p.count() != calls || r.AnyAvailable() || r.Health()[0].State != "resting" {
						t.Fatalf("%d calls, want %d; %+v", p.count(), calls, r.Health())
					}
					time.Sleep(time.Until(r.Health()[0].RetryAt) + time.Second)
				}
				if _, err := ask(r); err != nil || p.count() != 4 || r.Health()[0].State != "ok" {
					t.Errorf("%v after %d calls; %+v", err, p.count(), r.Health())
				}
			})
		})
	}
}

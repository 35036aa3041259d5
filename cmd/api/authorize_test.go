package api

import "testing"

func TestAuthorizeEveryPermission(t *testing.T) {
	type caller struct{ owner, mayChange bool }
	other, owner, root, ownerRoot := caller{}, caller{owner: true}, caller{mayChange: true}, caller{true, true}
	for need, allowed := range map[permission]map[caller]bool{
		permRead:       {other: true, owner: true, root: true, ownerRoot: true},
		permPlan:       {other: true, owner: true, root: true, ownerRoot: true},
		permOwn:        {other: true, owner: true, root: true, ownerRoot: true},
		permAsk:        {other: false, owner: true, root: true, ownerRoot: true},
		permChange:     {other: false, owner: false, root: true, ownerRoot: true},
		permChange + 1: {other: false, owner: false, root: false, ownerRoot: false},
	} {
		for c, want := range allowed {
			if got := Authorize(need, c.owner, c.mayChange); got != want {
				t.Errorf("permission %d for %+v: %t", need, c, got)
			}
		}
	}
}

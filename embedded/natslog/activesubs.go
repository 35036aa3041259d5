package natslog

import (
	"maps"
	"slices"
)

// track adds a running subscription.
func (b *Broker) track(sub *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[sub] = struct{}{}
}

// untrack removes a subscription that has ended.
func (b *Broker) untrack(sub *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, sub)
}

// isActive reports whether a subscription with this key is running. The caller holds
// b.mu.
func (b *Broker) isActive(key string) bool {
	for sub := range b.subs {
		if sub.key == key {
			return true
		}
	}
	return false
}

// closeSubscriptions ends every subscription and waits for them.
func (b *Broker) closeSubscriptions() {
	b.mu.Lock()
	open := slices.Collect(maps.Keys(b.subs))
	b.mu.Unlock()
	cancelAll(open)
}

// cancelAll cancels subscriptions and waits until they have ended.
func cancelAll(open []*subscription) {
	for _, sub := range open {
		sub.cancel()
	}
	for _, sub := range open {
		<-sub.done
	}
}

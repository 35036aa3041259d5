package natslog

// track, untrack and active know which subscriptions are running.
func (b *Broker) track(sub *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[sub] = struct{}{}
}

func (b *Broker) untrack(sub *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, sub)
}

// isActive wants b.mu held.
func (b *Broker) isActive(key string) bool {
	for sub := range b.subs {
		if sub.key == key {
			return true
		}
	}
	return false
}

func (b *Broker) closeSubscriptions() {
	b.mu.Lock()
	var open []*subscription
	for sub := range b.subs {
		open = append(open, sub)
	}
	b.mu.Unlock()
	for _, sub := range open {
		sub.cancel()
	}
	for _, sub := range open {
		<-sub.done
	}
}

package cli

import (
	"context"
	"log/slog"

	"cortex/cmd/client"
	"cortex/cmd/daemon"
)

// embeddedDaemon is a daemon inside this process.
type embeddedDaemon struct {
	cancel context.CancelFunc
	ended  chan error
}

// startEmbedded runs the daemon's inside in this process, behind the same socket;
// other commands find it there as long as this one lives.
func (a *App) startEmbedded(ctx context.Context) error {
	if err := client.MakeState(a.settings); err != nil {
		return err
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	in := &embeddedDaemon{cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan error, 1)
	s := a.settings
	s.IdleTimeout = 0
	go func() {
		in.ended <- daemon.Run(own, s, Build(), slog.New(slog.DiscardHandler), func(err error) { ready <- err })
	}()
	if err := <-ready; err != nil {
		cancel()
		<-in.ended
		return err
	}
	a.inner = in
	return nil
}

// stop lets it leave once nothing runs.
func (d *embeddedDaemon) stop() error {
	d.cancel()
	return <-d.ended
}

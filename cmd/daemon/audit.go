package daemon

import (
	"context"
	"database/sql"

	"cortex/consumers/recorder"
	"cortex/consumers/treehead"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/audit"
)

// wireTreeHeads creates the signer of tree heads over the audit read model.
func (srv *server) wireTreeHeads(rec *recorder.Recorder) {
	tree := treeReader{server: srv}
	for _, m := range srv.readModels {
		if m.Name() == audit.Name {
			tree.model = m
		}
	}
	srv.treeHeads = treehead.New(rec, tree, treehead.Config{
		Dir: treehead.Dir(srv.settings.AuditDir()),
		Report: func(err error) {
			srv.logger.Error("tree head signing failed", "error", err)
		},
	})
}

// treeReader reads the tree from the audit read model.
type treeReader struct {
	server *server
	model  *projections.ReadModel
}

var _ treehead.TreeReader = treeReader{}

// WaitFor implements [treehead.TreeReader].
func (t treeReader) WaitFor(ctx context.Context, p events.Position) error {
	return t.server.projector.WaitFor(ctx, p)
}

// Root implements [treehead.TreeReader].
func (t treeReader) Root(ctx context.Context, size events.Position) (root events.Hash, err error) {
	err = t.model.Read(ctx, func(db *sql.DB) error {
		root, err = audit.NewReader(db).Root(ctx, size)
		return err
	})
	return root, err
}

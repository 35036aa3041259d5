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

// wireTreeHeads makes the auditor over the read model of the tree.
func (in *server) wireTreeHeads(sc *recorder.Recorder) {
	tree := treeReader{server: in}
	for _, m := range in.readModels {
		if m.Name() == audit.Name {
			tree.model = m
		}
	}
	in.treeHeads = treehead.New(sc, tree, treehead.Config{
		Dir: treehead.Dir(in.settings.AuditDir()),
		Report: func(err error) {
			in.logger.Error("the log is not signed", "error", err)
		},
	})
}

// treeReader answers the auditor from the read model.
type treeReader struct {
	server *server
	model  *projections.ReadModel
}

var _ treehead.TreeReader = treeReader{}

// WaitFor implements [treeHeads.Tree].
func (t treeReader) WaitFor(ctx context.Context, p events.Position) error {
	return t.server.projector.WaitFor(ctx, p)
}

// Root implements [treeHeads.Tree].
func (t treeReader) Root(ctx context.Context, size events.Position) (root events.Hash, err error) {
	err = t.model.Read(ctx, func(db *sql.DB) error {
		root, err = audit.NewReader(db).Root(ctx, size)
		return err
	})
	return root, err
}

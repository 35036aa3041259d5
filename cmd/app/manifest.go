package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/producers/manifest"
)

// DefaultManifest is the manifest that the machine is compared with if none is named.
const DefaultManifest = "/etc/cortex/machine.toml"

// CaptureManifest returns the machine as a manifest.
func (s *Service) CaptureManifest(ctx context.Context) (manifest.Document, error) {
	machine := apt.New(apt.Config{Root: s.Settings.Root})
	inv, err := machine.Inventory(ctx)
	if err != nil {
		return manifest.Document{}, err
	}
	native, err := machine.NativeArch(ctx)
	if err != nil {
		return manifest.Document{}, err
	}
	m, notes, err := manifest.Capture(s.Settings.Root, inv, native)
	for _, n := range notes {
		s.Note("note: " + n)
	}
	return m, err
}

// ReadManifest reads a manifest from a file, or from stdin if path is "-".
func ReadManifest(path string, stdin io.Reader) (manifest.Document, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return manifest.Document{}, &events.Error{
				Op: "app.ReadManifest", Kind: events.ErrNotFound, Subject: path, Err: errors.Unwrap(err),
				Hint: "to write one: cortex config export >" + path,
			}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, manifest.MaxBytes+1))
	if err != nil {
		return manifest.Document{}, fmt.Errorf("read %s: %w", path, err)
	}
	return manifest.Parse(path, text)
}

// CompareManifest returns how the machine differs from a manifest.
func (s *Service) CompareManifest(ctx context.Context, want manifest.Document) ([]manifest.Mismatch, error) {
	have, err := s.CaptureManifest(ctx)
	if err != nil {
		return nil, err
	}
	return manifest.Compare(want, have), nil
}

// MissingAptFiles returns the request to write the apt files of a manifest that are missing
// or different on this machine. It fails with ErrConflict if one could not be undone.
func (s *Service) MissingAptFiles(ctx context.Context, want manifest.Document) (events.Manifest, error) {
	var request events.Manifest
	differences, err := s.CompareManifest(ctx, want)
	if err != nil {
		return request, err
	}
	for _, d := range differences {
		if d.ItemKind != "file" || d.Reason == manifest.Extra {
			continue
		}
		if events.ValidateAptPath(d.Name) != nil {
			return request, &events.Error{
				Op: "app.MissingAptFiles", Kind: events.ErrConflict, Subject: d.Name,
				Err:  fmt.Errorf("this file of the manifest is %s on this machine, and an import cannot undo changes outside /etc", d.Reason),
				Hint: "write the file yourself, or pass --skip-files",
			}
		}
		request.Files = append(request.Files, want.ManifestFile(d.Name))
	}
	return request, nil
}

package filestore

import (
	"fmt"
	"slices"
	"strings"
)

// TestedVersions returns the nats-server versions whose file format this package
// was tested with.
func TestedVersions() []string { return []string{"2.15.2"} }

// VersionError reports a nats-server version that this package was not tested with.
type VersionError struct{ Version string }

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("the file format of nats-server %s is unknown (tested: %s)", e.Version, strings.Join(TestedVersions(), ", "))
}

// CheckVersion returns a [*VersionError] unless this package was tested with the
// version of nats-server, which is written as in server.VERSION.
func CheckVersion(version string) error {
	if slices.Contains(TestedVersions(), version) {
		return nil
	}
	return &VersionError{version}
}

// Package pkgindex finds packages by their purpose. It indexes apt's lists in SQLite's FTS5:
// names, descriptions, sections, debtags, provides, DEP-11 and the relations between
// packages. It ranks matches by bm25 and by a prior that estimates popularity.
//
// It promises:
//
//   - [Build] replaces the index atomically: an index is complete or missing.
//   - An index has the fingerprint of the lists that it was built from ([Fingerprint]).
//   - Searching writes nothing and needs no network.
//   - Every candidate has the reasons for its rank.
//   - Text from descriptions is limited in length and has no control characters and no
//     direction characters.
package pkgindex

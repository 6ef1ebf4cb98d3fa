package store

import "encoding/json"

// OpenedFormers returns the former tokens of a credential's record, as JSON
// before it is sealed.
func OpenedFormers(record string) ([]Former, error) {
	var r credentialAtRest
	err := json.Unmarshal([]byte(record), &r)
	return r.formers(), err
}

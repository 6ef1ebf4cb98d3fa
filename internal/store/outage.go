package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// An Outage says why a provider is left alone. It holds no secret and is not
// sealed.
type Outage struct {
	Version int `json:"version"`
	// Cause is what the provider answered, or why it did not.
	Cause Failure `json:"cause"`
	// Since is when the provider was first left alone for this.
	Since time.Time `json:"since"`
	// Until is when it may be asked again. Zero: when it is found to work.
	Until time.Time `json:"until,omitzero"`
}

// Outage returns why the provider is left alone, or nil.
func (m *Mount) Outage(ctx context.Context, provider string) (*Outage, error) {
	key := providerPrefix + provider
	b, err := m.get(ctx, key)
	if b == nil || err != nil {
		return nil, err
	}
	var o Outage
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, corrupt(key, err)
	}
	if o.Version != formatVersion {
		return nil, corrupt(key, errVersion)
	}
	return &o, nil
}

// OutageOf returns the provider whose outage lies under the storage key, if it
// is such a key.
func OutageOf(key string) (provider string, ok bool) { return strings.CutPrefix(key, providerPrefix) }

// PutOutage stores why the provider is left alone; nil: it is not.
func (m *Mount) PutOutage(ctx context.Context, provider string, o *Outage) error {
	key := providerPrefix + provider
	if o == nil {
		return m.storage.Delete(ctx, key)
	}
	versioned := *o
	versioned.Version = formatVersion
	b, err := json.Marshal(versioned)
	if err != nil {
		return err
	}
	return m.put(ctx, key, b)
}

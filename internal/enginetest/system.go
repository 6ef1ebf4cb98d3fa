package enginetest

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// SystemView returns a system view that knows the harness's caller.
func SystemView() logical.SystemView {
	return &logical.StaticSystemView{EntityVal: &logical.Entity{ID: "entity-1"}}
}

// Standby returns the system view of a node that may not write.
func Standby() logical.SystemView {
	return &logical.StaticSystemView{ReplicationStateVal: consts.ReplicationPerformanceStandby, EntityVal: &logical.Entity{ID: "entity-1"}}
}

// System is a system view whose node changes its role. Asked counts the questions.
type System struct {
	logical.StaticSystemView
	Standby atomic.Bool
	Asked   atomic.Int64
}

// ReplicationState implements [logical.SystemView].
func (s *System) ReplicationState() consts.ReplicationState {
	s.Asked.Add(1)
	if s.Standby.Load() {
		return consts.ReplicationPerformanceStandby
	}
	return consts.ReplicationPerformancePrimary
}

// Directory is a system view that knows entities by their metadata.
type Directory struct {
	logical.StaticSystemView
	mu       sync.Mutex
	Metadata map[string]map[string]string
	Err      error
	Asked    int
}

// EntityInfo implements [logical.SystemView].
func (d *Directory) EntityInfo(id string) (*logical.Entity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Asked++
	if metadata, ok := d.Metadata[id]; ok && d.Err == nil {
		return &logical.Entity{ID: id, Metadata: metadata}, nil
	}
	return nil, d.Err
}

// Set binds an entity to a tenant.
func (d *Directory) Set(id, tenant string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Metadata[id] = map[string]string{"tenant": tenant}
}

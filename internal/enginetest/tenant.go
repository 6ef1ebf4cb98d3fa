package enginetest

import (
	"encoding/binary"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Tenant is the tenant org_acme.
type Tenant struct{ e *Engine }

// Suspend suspends org_acme, or ends that.
func (t *Tenant) Suspend(suspended bool) {
	t.e.T.Helper()
	t.e.Must(logical.UpdateOperation, Acme, map[string]any{"suspended": suspended})
}

// CheckDeleted checks that nothing of org_acme is left, and that it can begin
// anew.
func (t *Tenant) CheckDeleted(when string) {
	t.e.T.Helper()
	if left := t.e.Storage.LeftOf("org_acme"); len(left) > 0 {
		t.e.T.Errorf("%s, left: %v", when, left)
	}
	t.e.Refused("not_found", 404, logical.ReadOperation, Acme, nil)
	t.e.Install()
	t.e.Refused("not_found", 404, logical.ReadOperation, "creds/"+Uma, nil)
	if got := t.e.Read(Acme); got["key_version"] != 1 || got["suspended"] != false || got["deletion"] != nil {
		t.e.T.Errorf("%s, begun anew it reads %v", when, got)
	}
}

// Removal returns how far the removal of the installation is.
func (t *Tenant) Removal() map[string]any {
	t.e.T.Helper()
	removal, ok := t.e.Read("connections/" + Installation)["removal"].(map[string]any)
	if !ok {
		t.e.T.Fatalf("the installation is not being removed: %v", t.e.Read("connections/"+Installation))
	}
	return removal
}

var dueTime = regexp.MustCompile(`^due/\d+/\d+,`)

// Index returns the keys of the tenant's index entries, those of the due index
// without their minutes.
func (t *Tenant) Index(tenant string) (index []string) {
	t.e.T.Helper()
	for _, prefix := range []string{"account/", "status/", "due/"} {
		for _, key := range t.e.Storage.Under(prefix) {
			if strings.Contains(key, "/"+tenant+",") || strings.Contains(key, ",credential,"+tenant+",") || strings.Contains(key, ",removal,"+tenant+",") {
				index = append(index, dueTime.ReplaceAllString(key, "due/"))
			}
		}
	}
	slices.Sort(index)
	return index
}

// LoseIndex deletes each index entry of the tenant.
func (t *Tenant) LoseIndex(tenant string) {
	t.e.T.Helper()
	for _, prefix := range []string{"account/", "status/", "due/"} {
		for _, key := range t.e.Storage.Under(prefix) {
			if strings.Contains(key, tenant) {
				t.e.Storage.Remove(key)
			}
		}
	}
}

// Reindex returns how far the reindex is.
func (t *Tenant) Reindex() map[string]any {
	t.e.T.Helper()
	return t.e.Read("tenants/org_acme")["reindex"].(map[string]any)
}

// RunReindex runs a reindex to its end.
func (t *Tenant) RunReindex() {
	t.e.T.Helper()
	t.e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	for range 10 {
		t.e.After(2 * time.Minute)
		if t.Reindex()["finished_at"] != nil {
			return
		}
	}
	t.e.T.Fatalf("the reindex does not end: %v", t.Reindex())
}

// Keyring returns a tenant's keyring as it is stored.
func (t *Tenant) Keyring(id string) *tenant.Keyring {
	t.e.T.Helper()
	k, err := tenant.ParseKeyring(t.e.Storage.Raw("keyring/tenant/" + id))
	if err != nil {
		t.e.T.Fatal(err)
	}
	return k
}

// PrimaryKey returns the id of a tenant's current key.
func (t *Tenant) PrimaryKey(id string) uint32 {
	t.e.T.Helper()
	k, err := t.Keyring(id).Primary()
	if err != nil {
		t.e.T.Fatal(err)
	}
	return k
}

// SealedWith counts the tenant's credentials by the id of the key that they are
// sealed with.
func (t *Tenant) SealedWith(id string) map[uint32]int {
	t.e.T.Helper()
	count := map[uint32]int{}
	for _, key := range t.e.Storage.Under("cred/" + id + "/") {
		count[binary.BigEndian.Uint32(t.e.Storage.Raw(key)[2:])]++
	}
	return count
}

// Rotation returns how far the rotation is.
func (t *Tenant) Rotation() map[string]any {
	t.e.T.Helper()
	rotation, ok := t.e.Read(Acme)["rotation"].(map[string]any)
	if !ok {
		t.e.T.Fatalf("no rotation: %v", t.e.Read(Acme))
	}
	return rotation
}

// FinishRotation sweeps until a rotation has ended, and checks that only the new
// key is left and in use.
func (t *Tenant) FinishRotation(when string) {
	t.e.T.Helper()
	for range 12 {
		t.e.After(15 * time.Minute)
	}
	rotation := t.Rotation()
	if rotation["finished_at"] == nil {
		t.e.T.Fatalf("%s: the rotation does not end: %v", when, rotation)
	}
	if n := t.Keyring("org_acme").Keys(); n != 1 {
		t.e.T.Errorf("%s: %d keys are left", when, n)
	}
	if with := t.SealedWith("org_acme"); len(with) != 1 || with[t.PrimaryKey("org_acme")] == 0 {
		t.e.T.Errorf("%s: the records are sealed with %v, the key is %d", when, with, t.PrimaryKey("org_acme"))
	}
}

// Package models stands in for HCP's: types that its APIs share.
package models

// HashicorpCloudLocationLink names a resource.
type HashicorpCloudLocationLink struct {
	ID       string
	Location *HashicorpCloudLocationLocation
}

// HashicorpCloudLocationLocation says where a resource is.
type HashicorpCloudLocationLocation struct{ OrganizationID, ProjectID string }

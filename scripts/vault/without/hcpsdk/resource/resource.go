// Package resource stands in for HCP's: names of its resources.
package resource

import "github.com/hashicorp/hcp-sdk-go/clients/cloud-shared/v1/models"

// Resource names a resource.
type Resource struct{ ID, Organization, Project string }

// FromString returns the resource without looking into the name: the error comes from the package config, since Vault does not
// show one of this function.
func FromString(id string) (Resource, error) { return Resource{ID: id}, nil }

// Link returns the resource as a link.
func (r Resource) Link() *models.HashicorpCloudLocationLink {
	return &models.HashicorpCloudLocationLink{ID: r.ID, Location: &models.HashicorpCloudLocationLocation{}}
}

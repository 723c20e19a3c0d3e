package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Project is that in which people work together. Everything that people make belongs to one.
type Project struct {
	Name      string     `json:"name"`
	Title     string     `json:"title"`
	Role      string     `json:"role"`    // of who asks: none, viewer, member or owner; an administrator is owner of all
	Members   int        `json:"members"` // how many people have a part in it
	Owners    []string   `json:"owners"`  // their names
	CreatedBy string     `json:"created_by,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
	// Contents is what is in it; of one project alone, not in lists.
	Contents *ProjectContents `json:"contents,omitempty"`
}

// ProjectContents counts what is in a project. One that has any of it is not removed.
type ProjectContents struct {
	Services  int `json:"services"`
	Sessions  int `json:"sessions"` // that have not ended
	Folders   int `json:"folders"`
	Trash     int `json:"trash"` // folders in the trash
	Models    int `json:"models"`
	Pipelines int `json:"pipelines"`
	Tokens    int `json:"tokens"` // that are good
}

// ProjectCreate asks for a project.
type ProjectCreate struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	Owner string `json:"owner,omitempty"` // name of a user who is to own it
}

// ProjectUpdate changes a project.
type ProjectUpdate struct {
	Title *string `json:"title,omitempty"`
}

// ProjectMember is somebody's part in a project.
type ProjectMember struct {
	User        string    `json:"user"`
	DisplayName string    `json:"display_name,omitempty"`
	Role        string    `json:"role"` // viewer, member or owner
	Disabled    bool      `json:"disabled,omitempty"`
	AddedBy     string    `json:"added_by"`
	AddedAt     time.Time `json:"added_at"`
}

// ProjectMemberSet gives somebody a role.
type ProjectMemberSet struct {
	Role string `json:"role"` // viewer, member or owner
}

// Projects lists those that who asks has a part in; an administrator all.
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	return list[Project](ctx, c, "/projects", nil)
}

// CreateProject makes a project.
func (c *Client) CreateProject(ctx context.Context, in ProjectCreate) (Project, error) {
	var out Project
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/projects", in: in}, &out)
}

// Project returns one.
func (c *Client) Project(ctx context.Context, name string) (Project, error) {
	var out Project
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/projects/" + url.PathEscape(name)}, &out)
}

// UpdateProject changes a project.
func (c *Client) UpdateProject(ctx context.Context, name string, in ProjectUpdate) (Project, error) {
	var out Project
	return out, c.unary(ctx, call{method: http.MethodPatch, path: "/projects/" + url.PathEscape(name), in: in}, &out)
}

// RemoveProject removes a project that has nothing any more.
func (c *Client) RemoveProject(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/projects/" + url.PathEscape(name)}, nil)
}

// ProjectMembers lists who has a part in a project, owners first.
func (c *Client) ProjectMembers(ctx context.Context, name string) ([]ProjectMember, error) {
	return list[ProjectMember](ctx, c, "/projects/"+url.PathEscape(name)+"/members", nil)
}

// SetProjectMember gives somebody a role in a project, or another one.
func (c *Client) SetProjectMember(ctx context.Context, project, user string, in ProjectMemberSet) (ProjectMember, error) {
	var out ProjectMember
	return out, c.unary(ctx, call{method: http.MethodPut, path: "/projects/" + url.PathEscape(project) + "/members/" + url.PathEscape(user), in: in}, &out)
}

// RemoveProjectMember ends somebody's part in a project.
func (c *Client) RemoveProjectMember(ctx context.Context, project, user string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/projects/" + url.PathEscape(project) + "/members/" + url.PathEscape(user)}, nil)
}

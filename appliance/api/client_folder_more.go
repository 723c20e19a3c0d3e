package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

func folderPath(ref, rest string) string { return "/folders/" + seg(ref) + rest }

// UpdateFolder renames a folder, or bounds it.
func (c *Client) UpdateFolder(ctx context.Context, ref string, in FolderUpdate) (Folder, error) {
	var out Folder
	return out, c.unary(ctx, call{method: http.MethodPatch, path: folderPath(ref, ""), in: in}, &out)
}

// FolderUse counts what a folder holds.
func (c *Client) FolderUse(ctx context.Context, ref string) (FolderUse, error) {
	var out FolderUse
	return out, c.unary(ctx, call{method: http.MethodGet, path: folderPath(ref, "/usage")}, &out)
}

// FolderShares lists with whom a folder is shared.
func (c *Client) FolderShares(ctx context.Context, ref string) ([]FolderShare, error) {
	return list[FolderShare](ctx, c, folderPath(ref, "/shares"), nil)
}

// ShareFolder shares a folder, or changes how it is shared.
func (c *Client) ShareFolder(ctx context.Context, ref string, in FolderShare) (FolderShare, error) {
	var out FolderShare
	return out, c.unary(ctx, call{method: http.MethodPut, path: folderPath(ref, "/shares"), in: in}, &out)
}

// UnshareFolder shares it no longer, with a person or with a project.
func (c *Client) UnshareFolder(ctx context.Context, ref, person, project string) error {
	q := url.Values{"person": {person}, "to_project": {project}}
	return c.unary(ctx, call{method: http.MethodDelete, path: folderPath(ref, "/shares"), query: q}, nil)
}

// Trash lists the folders in the trash, the latest first.
func (c *Client) Trash(ctx context.Context) ([]Folder, error) {
	return list[Folder](ctx, c, "/folder-trash", nil)
}

// RestoreFolder takes a folder out of the trash.
func (c *Client) RestoreFolder(ctx context.Context, ref string, in FolderRestore) (Folder, error) {
	var out Folder
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/folder-trash/" + seg(ref) + "/restore", in: in}, &out)
}

// PurgeFolder deletes a folder in the trash for good.
func (c *Client) PurgeFolder(ctx context.Context, ref string) error {
	resp, err := c.send(ctx, call{method: http.MethodDelete, path: "/folder-trash/" + seg(ref)})
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// CloneFolder makes a folder with all that is in another. each, which may be nil, is told how far it is. Ending ctx ends it.
func (c *Client) CloneFolder(ctx context.Context, ref string, in FolderClone, each func(FolderCloning)) (FolderCloning, error) {
	resp, err := c.send(ctx, call{method: http.MethodPost, path: folderPath(ref, "/clone"), in: in})
	if err != nil {
		return FolderCloning{}, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var p FolderCloning
		switch err := lines.Decode(&p); {
		case ctx.Err() != nil:
			return p, context.Cause(ctx)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return p, fmt.Errorf("cloning %s: the daemon broke off before the end", ref)
		case err != nil:
			return p, fmt.Errorf("cloning %s: %w", ref, err)
		case p.Problem != nil:
			return p, p.Problem
		case p.Folder != nil:
			return p, nil
		case each != nil:
			each(p)
		}
	}
}

// MakeDirectory makes a directory of a folder, and those above it.
func (c *Client) MakeDirectory(ctx context.Context, ref, path string) error {
	return c.unary(ctx, call{method: http.MethodPost, path: folderPath(ref, "/directories"), in: DirectoryCreate{path}}, nil)
}

// MoveEntry gives a file or directory of a folder another path in it.
func (c *Client) MoveEntry(ctx context.Context, ref string, in EntryMove) error {
	return c.unary(ctx, call{method: http.MethodPost, path: folderPath(ref, "/move"), in: in}, nil)
}

package fetch

// Ref says where a model is. Its text is one of
//
//	hf:ORG/NAME[@REVISION][#GLOB,...]        the Hugging Face hub, or a mirror of it
//	ngc:ORG[/TEAM]/NAME[:VERSION]            a model of NVIDIA's NGC
//	oci:HOST/NAME[:TAG|@sha256:...]          a model artifact in a registry
//	s3://BUCKET[/PREFIX]                     a store that speaks S3
//	git+https://HOST/PATH[@REVISION]         a git repository, with LFS
//	https://HOST/PATH[#sha256:...]           one file
//	file:/PATH or /PATH                      a file or directory of the box
//	made:NAME                                a file that Palisade makes by itself: hello.gguf
type Ref struct {
	Scheme   string   // hf, ngc, oci, s3, git, http, file, made
	Where    string   // without scheme, revision and globs: ORG/NAME, HOST/NAME, BUCKET/PREFIX, a URL, a path
	Revision string   // as asked: a branch, a tag, a commit, a digest; empty: the place's default
	Files    []string // globs by path.Match on the whole name, or on its last part where they have no slash; empty: all
	SHA256   string   // of the one file of http
}

package s3test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// partMin is the least size of a part but the last.
const partMin = 5 << 20

func (s *Server) beginLocked(r *http.Request, key string) reply {
	s.number++
	id := fmt.Sprintf("upload-%d", s.number)
	s.uploads[id] = &upload{key: key, meta: metaOf(r), parts: map[int][]byte{}}
	return answered(struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadId string //nolint:revive // S3's name
	}{Bucket: s.Bucket, Key: key, UploadId: id})
}

func (s *Server) partLocked(q url.Values, body []byte) reply {
	u := s.uploads[q.Get("uploadId")]
	n, err := strconv.Atoi(q.Get("partNumber"))
	if u == nil || err != nil {
		return failed(http.StatusNotFound, "NoSuchUpload")
	}
	u.parts[n] = body
	return reply{status: http.StatusOK, header: map[string]string{"ETag": `"` + etagOf(body) + `"`}}
}

func (s *Server) completeLocked(r *http.Request, q url.Values, body []byte) reply {
	id := q.Get("uploadId")
	u := s.uploads[id]
	if u == nil {
		return failed(http.StatusNotFound, "NoSuchUpload")
	}
	var wanted struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.Unmarshal(body, &wanted); err != nil || len(wanted.Part) == 0 {
		return failed(http.StatusBadRequest, "MalformedXML")
	}
	var data []byte
	for i, p := range wanted.Part {
		part := u.parts[p.PartNumber]
		if p.PartNumber != i+1 || etagOf(part) != p.ETag {
			return failed(http.StatusBadRequest, "InvalidPart")
		}
		if i < len(wanted.Part)-1 && len(part) < partMin {
			return failed(http.StatusBadRequest, "EntityTooSmall")
		}
		data = append(data, part...)
	}
	answer := s.putLocked(r, u.key, object{data: data, meta: u.meta, etag: fmt.Sprintf("%s-%d", etagOf(data), len(wanted.Part))})
	if answer.status != http.StatusOK {
		return answer
	}
	delete(s.uploads, id)
	return answered(struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket  string
		Key     string
		ETag    string
	}{Bucket: s.Bucket, Key: u.key, ETag: answer.header["ETag"]})
}

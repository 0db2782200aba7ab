// A service as it is usually written: express, busboy, and the SDK's own managed upload
import { S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import busboy from "busboy";
import express from "express";

const s3 = JSON.parse(process.env.S3);
const client = new S3Client({
  region: "us-east-1",
  endpoint: s3.endpoint,
  forcePathStyle: true,
  requestChecksumCalculation: "WHEN_REQUIRED", // older S3 servers refuse the trailers of the default
  credentials: { accessKeyId: s3.key, secretAccessKey: s3.secret },
});

const app = express();
app.post("/upload", (request, response) => {
  const form = busboy({ headers: request.headers });
  const uploads = [];
  form.on("file", (_field, file, info) => {
    const params = { Bucket: s3.bucket, Key: `express/${Date.now()}-${info.filename}`, Body: file };
    uploads.push(new Upload({ client, params }).done());
  });
  form.on("close", () =>
    Promise.all(uploads).then(
      () => response.status(201).json({ ok: true }),
      (error) => response.status(500).json({ error: String(error) }),
    ),
  );
  request.pipe(form);
});
app.listen(Number(process.env.PORT), "127.0.0.1");

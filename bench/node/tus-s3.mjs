// @tus/server with its S3 store, as its documentation shows it
import { S3Store } from "@tus/s3-store";
import { Server } from "@tus/server";

const s3 = JSON.parse(process.env.S3);
const datastore = new S3Store({
  partSize: 8 * 1024 * 1024,
  s3ClientConfig: {
    bucket: s3.bucket,
    region: "us-east-1",
    endpoint: s3.endpoint,
    forcePathStyle: true,
    requestChecksumCalculation: "WHEN_REQUIRED", // older S3 servers refuse the trailers of the default
    credentials: { accessKeyId: s3.key, secretAccessKey: s3.secret },
  },
});
const server = new Server({ path: "/files", datastore });
server.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });

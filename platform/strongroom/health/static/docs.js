const target = document.getElementById("swagger-ui");
SwaggerUIBundle({ url: target.dataset.specUrl, domNode: target, deepLinking: true, docExpansion: "none", tryItOutEnabled: false });

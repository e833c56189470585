/** Serves the OpenAPI document and Swagger UI. */
import { openApiDocument } from '@tributary/contracts/openapi';
import express, { type Express } from '@tributary/http/express';
import { absolutePath } from 'swagger-ui-dist';

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Tributary API</title>
    <link rel="stylesheet" href="/api/docs/swagger-ui.css" />
  </head>
  <body>
    <div id="ui"></div>
    <script src="/api/docs/swagger-ui-bundle.js"></script>
    <script src="/api/docs/start.js"></script>
  </body>
</html>
`;
const start = `SwaggerUIBundle({ url: '/api/openapi.json', dom_id: '#ui', deepLinking: true, persistAuthorization: true });\n`;

export const mountDocs = (app: Express): void => {
  const document = JSON.stringify(openApiDocument());
  app.get('/api/openapi.json', (_request, response) => void response.type('application/json').send(document));
  app.get('/api/docs', (_request, response) => void response.type('html').send(page));
  app.get('/api/docs/start.js', (_request, response) => void response.type('text/javascript').send(start));
  app.use('/api/docs', express.static(absolutePath(), { index: false }));
};

import { useConnection } from '@authpipe/react';
import { type FormEvent, useEffect, useState } from 'react';
import { get, send } from './server.js';

interface Page {
  id: string;
  name: string;
}

/** Publishes on one of the organization's pages, which needs the installation. */
export function Posting() {
  const { state, connection, refresh } = useConnection({ provider: 'facebook', for: 'installation' });
  const [pages, setPages] = useState<Page[]>([]);
  const [said, setSaid] = useState('');
  const connected = state === 'connected';
  const since = connection?.connectedAt;
  useEffect(() => {
    setPages([]);
    setSaid('');
    if (!connected) return;
    let over = false; // ignores an answer about a former connection
    get<{ pages: Page[] }>('pages').then(
      ({ pages }) => over || setPages(pages),
      (error: Error) => over || setSaid(error.message),
    );
    return () => void (over = true);
  }, [connected, since]);
  if (!connected) return null;
  const publish = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setSaid('Posting …');
    const form = event.currentTarget;
    send<{ id: string }>('posts', Object.fromEntries(new FormData(form))).then(
      ({ id }) => {
        form.reset();
        setSaid(`Posted: ${id}`);
      },
      (error: Error) => {
        setSaid(error.message);
        void refresh(); // the connection may have ended
      },
    );
  };
  return (
    <section aria-labelledby="posting">
      <h2 id="posting">Post to a Page</h2>
      <form onSubmit={publish}>
        <label>
          Page
          <select name="page">
            {pages.map((page) => (
              <option key={page.id} value={page.id}>
                {page.name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Message
          <textarea name="message" rows={3} required defaultValue="" placeholder="What is new?" />
        </label>
        <button className="go" disabled={pages.length === 0}>
          Post
        </button>
        <p role="status">{said}</p>
      </form>
    </section>
  );
}

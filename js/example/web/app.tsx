import { AuthpipeProvider, ConnectButton, InstallButton } from '@authpipe/react';
import { useEffect, useState } from 'react';
import { Granted } from './granted.js';
import { Posting } from './posting.js';
import { get, type Me, type Person, send } from './server.js';

export function App() {
  const [me, setMe] = useState<Me>();
  const [trouble, setTrouble] = useState('');
  const load = () => void get<Me>('me').then(setMe, failed);
  const failed = (error: Error) => setTrouble(error.message);
  useEffect(load, []);
  if (!me) return <p role="alert">{trouble}</p>;
  return (
    <>
      <header>
        <h1>Acme Social</h1>
        {me.person && <SignedIn person={me.person} onSignOut={() => void send('sign-out').then(load, failed)} />}
      </header>
      <main>
        {/* The key: what is known of one person's connections is not shown to the next. */}
        {me.person ? (
          <AuthpipeProvider key={me.person.id}>
            <Connections person={me.person} />
          </AuthpipeProvider>
        ) : (
          <SignIn people={me.people} onSignIn={load} />
        )}
      </main>
      <footer>
        Facebook is simulated here. <a href={me.control} target="_blank" rel="noreferrer">Break things</a> there: remove the app, expire a token, go down.
      </footer>
    </>
  );
}

function SignIn({ people, onSignIn }: { people: Person[]; onSignIn: () => void }) {
  return (
    <section>
      <h2>Who are you?</h2>
      <p>Two people work at Acme. One of them may connect its Facebook account.</p>
      <div className="row">
        {people.map((person) => (
          <button key={person.id} type="button" onClick={() => void send('sign-in', { person: person.id }).then(onSignIn)}>
            {person.name}
          </button>
        ))}
      </div>
    </section>
  );
}

function SignedIn({ person, onSignOut }: { person: Person; onSignOut: () => void }) {
  return (
    <p className="row">
      {person.name}
      <button type="button" className="quiet" onClick={onSignOut}>
        Sign out
      </button>
    </p>
  );
}

function Connections({ person }: { person: Person }) {
  return (
    <>
      <section aria-labelledby="organization">
        <h2 id="organization">Acme’s Facebook account</h2>
        <p>With it the application works on Acme’s Pages.</p>
        <InstallButton provider="facebook" onInstall={(inst) => console.log('Installed!', inst)} />
        <Granted level="installation" mayDisconnect={person.mayInstall} />
      </section>
      <section aria-labelledby="own">
        <h2 id="own">Your own Facebook account</h2>
        <p>With it the application knows you by name. Acme’s account has to be there first.</p>
        <ConnectButton provider="facebook" />
        <Granted level="user" mayDisconnect />
      </section>
      <Posting />
    </>
  );
}
